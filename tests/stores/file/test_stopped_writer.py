"""A writer that stops: others wait for its shard as long as they have patience, and readers not at all."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.file import FileStore, listing
from sessionguard.testing.contracts.stage import IDLE, SECOND, Stage
from sessionguard.testing.faults import ChildProcess
from tests.stores.file.conftest import OpenStore
from tests.stores.file.inspecting import sight
from tests.stores.file.workers import stand_half_way, stand_in_the_lock

pytestmark = pytest.mark.processes

PATIENCE_SECONDS = 0.2
BOUND_SECONDS = 20.0
"""Of a busy machine. A writer that is stopped would stay so for ever."""


@pytest.fixture
def store(open_store: OpenStore) -> FileStore:
    """A store with little patience."""
    return open_store(patience_seconds=PATIENCE_SECONDS)


def test_t58_writers_time_out_and_nothing_was_done(path: Path, store: FileStore, stage: Stage) -> None:
    """A write raises a timeout when the patience is over, not before; a retry after the writer went on succeeds."""
    new = stage.new()
    with ChildProcess(stand_in_the_lock, str(path), new.id[:2]) as writer:
        assert writer.hear() == "inside"
        writer.freeze()
        began = time.monotonic()
        with pytest.raises(StoreTimeoutError, match="another process kept a lock") as caught:
            store.create(stage.create(new))
        assert PATIENCE_SECONDS <= time.monotonic() - began < BOUND_SECONDS
        assert caught.value.retryable
        assert store.get(stage.get(new)) is None
        writer.thaw()
        writer.tell("leave")
        assert writer.hear() == "outside"
        assert store.create(stage.create(new)).record.id == new.id


def test_other_shards_go_on(path: Path, store: FileStore, stage: Stage) -> None:
    """A stopped writer keeps nobody waiting but the owners who share its shard."""
    new = stage.new()
    other = next(one for one in (stage.new(f"owner {n}") for n in range(100)) if one.id[:2] != new.id[:2])
    with ChildProcess(stand_in_the_lock, str(path), new.id[:2]) as writer:
        assert writer.hear() == "inside"
        writer.freeze()
        opened = store.create(stage.create(other)).record
        assert store.end(stage.end(opened)).record is not None


@pytest.mark.parametrize("steps", range(8))
def test_readers_see_all_of_what_a_stopped_writer_was_about_to_do(
    path: Path, store: FileStore, stage: Stage, steps: int
) -> None:
    """However many of its files are replaced, a decided operation is seen whole, at once and without any wait."""
    former = store.get_or_create(stage.get_or_create("ana", data={"n": 1})).record
    command = stage.replace("ana", data={"n": 2}, at=SECOND)
    with ChildProcess(stand_half_way, str(path), command, steps) as writer:
        assert writer.hear() == "half-way"
        writer.freeze()
        # Whoever waited for the lock would get a timeout.
        loaded = store.load(stage.load(command.new, at=SECOND)).record
        assert loaded is not None
        assert (loaded.id, loaded.generation, loaded.data) == (command.new.id, 2, '{"n":2}')
        assert store.load(stage.load(former, at=SECOND)).refusal == "ended"
        assert store.get_or_create(stage.get_or_create("ana", at=SECOND)).record == loaded
        listed = store.page(stage.page(owner="ana", status=None, at=SECOND)).records
        assert [(one.id, one.reason) for one in listed] == [(loaded.id, None), (former.id, "replaced")]
        seen = sight(store, stage, SECOND)
        with pytest.raises(StoreTimeoutError):
            store.touch(stage.touch(loaded, at=SECOND))
        writer.thaw()
        writer.tell("go on")
        assert writer.hear() == "done"
        assert sight(store, stage, SECOND) == seen


def test_the_waits_of_one_call_have_one_patience(path: Path, open_store: OpenStore, stage: Stage) -> None:
    """Many writers of one process give up together: the wait for their turn and the wait for the lock are one."""
    store = open_store(patience_seconds=1.0)
    opened = store.create(stage.create()).record

    def wait(number: int) -> float:
        began = time.monotonic()
        with pytest.raises(StoreTimeoutError):
            store.save(stage.save(opened, {"n": number}))
        return time.monotonic() - began

    with ChildProcess(stand_in_the_lock, str(path), opened.id[:2]) as writer, ThreadPoolExecutor(8) as threads:
        assert writer.hear() == "inside"
        writer.freeze()
        assert max(threads.map(wait, range(8))) < 1.7


def test_a_look_that_finds_nothing_waits_for_nobody(path: Path, store: FileStore, stage: Stage) -> None:
    """While another cleans up, a sweep or purge with nothing to do comes back at once."""
    opened = store.create(stage.create()).record
    with ChildProcess(stand_in_the_lock, str(path), "operations") as writer:
        assert writer.hear() == "inside"
        writer.freeze()
        assert store.sweep(stage.sweep()).records == ()
        assert store.purge(stage.purge()).count == 0
        with pytest.raises(StoreTimeoutError):
            store.sweep(stage.sweep(at=IDLE))
    assert [record.id for record in store.sweep(stage.sweep(at=IDLE)).records] == [opened.id]


@pytest.mark.parametrize("which", [0, -1])
def test_a_clean_up_that_meets_a_stopped_writer_tells_what_it_did(
    path: Path, store: FileStore, stage: Stage, which: int
) -> None:
    """What could be ended is ended and told, with more to come; nothing of it is lost or told twice."""
    opened = sorted((store.create(stage.create(f"owner {n}")).record.id for n in range(5)), key=str)
    assert len({session_id[:2] for session_id in opened}) > 1
    with ChildProcess(stand_in_the_lock, str(path), opened[which][:2]) as writer:
        assert writer.hear() == "inside"
        writer.freeze()
        command = stage.sweep(at=IDLE)
        swept = store.sweep(command)
        again = store.sweep(command)
    first = [record.id for record in swept.records]
    assert first == [session_id for session_id in first if session_id[:2] != opened[which][:2]]
    assert first
    assert swept.has_more
    assert again == swept
    rest = store.sweep(stage.sweep(at=IDLE))
    assert sorted(first + [record.id for record in rest.records]) == opened
    assert not rest.has_more


def test_the_owner_index_is_read_with_what_is_decided(path: Path, store: FileStore, stage: Stage) -> None:
    """A session that is decided and has no file yet is among those of its owner."""
    command = stage.create("ana")
    store.create(stage.create("ana"))
    with ChildProcess(stand_half_way, str(path), command, 0) as writer:
        assert writer.hear() == "half-way"
        found = store._shards.read(command.new.id[:2], lambda view: listing.ids_of_owner(view, "ana"))
        assert command.new.id in found
