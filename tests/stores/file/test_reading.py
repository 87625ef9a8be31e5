"""Reading without a lock: whatever is written meanwhile, a reader has seen one instant."""

from pathlib import Path

from sessionguard.stores.file import FileStore, shards
from sessionguard.stores.file.sessions import row_of
from sessionguard.stores.file.views import View
from sessionguard.testing.contracts.stage import SECOND, Stage
from tests.stores.file.conftest import OpenStore


def test_a_reader_that_is_overtaken_looks_again(store: FileStore, stage: Stage, open_store: OpenStore) -> None:
    """Two sessions that one operation changes are never seen as one was before and the other after it."""
    former = store.get_or_create(stage.get_or_create("ana")).record
    command, other = stage.replace("ana", at=SECOND), open_store()
    looks: list[tuple[bool, bool]] = []

    def look(view: View) -> tuple[bool, bool]:
        row = row_of(view, former.id)
        if not looks:
            other.replace(command)
        looks.append((row is not None and row.record.reason is None, row_of(view, command.new.id) is not None))
        return looks[-1]

    assert store._shards.read(former.id[:2], look) == (False, True)
    # The first look was what it must never answer.
    assert looks == [(True, True), (False, True)]


def test_a_reader_of_a_new_shard_looks_again(store: FileStore, stage: Stage, open_store: OpenStore) -> None:
    """What was not there when the look began, and is there when it ends, is looked at anew."""
    command, other = stage.create("ana"), open_store()
    looks: list[bool] = []

    def look(view: View) -> bool:
        looks.append(row_of(view, command.new.id) is not None)
        if len(looks) == 1:
            other.create(command)
        return looks[-1]

    assert store._shards.read(command.new.id[:2], look)
    assert looks == [False, True]


def test_a_reader_that_is_always_overtaken_comes_to_an_end(
    store: FileStore, stage: Stage, open_store: OpenStore
) -> None:
    """After so many looks it takes the lock, and is answered."""
    opened, other = store.create(stage.create()).record, open_store()
    looks = 0

    def look(view: View) -> int:
        nonlocal looks
        looks += 1
        if looks <= shards._TRIES:
            other.save(stage.save(opened, {"n": looks}))
        row = row_of(view, opened.id)
        assert row is not None
        return row.record.version

    assert store._shards.read(opened.id[:2], look) == shards._TRIES + 1
    assert looks == shards._TRIES + 1


def test_an_inline_look_that_is_overtaken_is_left_to_a_thread(
    store: FileStore, stage: Stage, open_store: OpenStore
) -> None:
    """An event loop does not look twice."""
    opened, other = store.create(stage.create()).record, open_store()
    assert store._shards.read_at_once(opened.id[:2], lambda _: other.save(stage.save(opened, {"n": 1}))) is None


def test_a_journal_that_is_begun_anew_under_a_reader_is_no_trouble(
    path: Path, store: FileStore, stage: Stage, open_store: OpenStore
) -> None:
    """A look that spans the beginning of a new journal is repeated, and sees what is there."""
    opened, other = store.create(stage.create()).record, open_store()
    looks: list[int] = []

    def look(view: View) -> int:
        if not looks:
            for number in range(40):
                other.save(stage.save(opened, {"text": "x" * 5000, "n": number}))
        row = row_of(view, opened.id)
        assert row is not None
        looks.append(row.record.version)
        return looks[-1]

    assert store._shards.read(opened.id[:2], look) == 41
    assert (path / opened.id[:2] / "journal").stat().st_size < 41 * 5000
