"""Files that are swapped, damaged or missing: nothing is given to the wrong one, and entries that lead nowhere heal."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sessionguard import booting
from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.errors import IdentityMismatchError, InvalidArgumentError, StoreDataError, StoreUnavailableError
from sessionguard.stores.file import FileStore, changeset, cleaning, journal, operations
from sessionguard.stores.file.locked import LockedShard
from sessionguard.stores.file.rows import Row
from sessionguard.stores.file.sessions import EXPIRING, row_of, row_path
from sessionguard.stores.file.views import View
from sessionguard.testing.contracts.stage import IDLE, RETENTION, SECOND, START, TICK, Stage
from tests.stores.file.inspecting import disorder


def test_t05_swapped_files_are_never_given_out(path: Path, store: FileStore, stage: Stage) -> None:
    """Two sessions whose files were exchanged behind our back are told, and neither is given to anyone."""
    ana, bea = (store.get_or_create(stage.get_or_create(owner)).record for owner in ("ana", "bea"))
    one, other = (path / row_path(record.id) for record in (ana, bea))
    one.rename(path / "aside")
    other.rename(one)
    (path / "aside").rename(other)
    for command in (stage.load(ana), stage.get(bea), stage.get_or_create("ana"), stage.save(bea, {"n": 1})):
        with pytest.raises(IdentityMismatchError):
            command.apply(store)


def test_a_token_entry_that_leads_astray_gives_nothing(path: Path, store: FileStore, stage: Stage) -> None:
    """An entry that leads to a session with other tokens is no way to it."""
    ana = store.create(stage.create("ana")).record
    twin = store.create(stage.create("ana")).record
    entry = path / ana.id[:2] / "tokens" / ana.token_hash.hex()
    entry.unlink()
    entry.symlink_to(twin.id)
    assert store.load(stage.load(ana)).refusal == "unknown"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"id": 1}', b"\x80\x04K*.", b"null"])
def test_a_damaged_file_is_told(path: Path, store: FileStore, stage: Stage, text: bytes) -> None:
    """What is no session is neither absence nor anything else; pickles are not read."""
    opened = store.create(stage.create()).record
    (path / row_path(opened.id)).write_bytes(text)
    for command in (stage.load(opened), stage.get(opened), stage.end(opened)):
        with pytest.raises(StoreDataError, match="damaged"):
            command.apply(store)


@pytest.mark.parametrize("what", ["link", "folder", "fifo"])
def test_t52_what_is_no_file_is_not_read(path: Path, store: FileStore, stage: Stage, what: str) -> None:
    """A link, folder or pipe in the place of a session is refused without following it or waiting."""
    opened = store.create(stage.create()).record
    file = path / row_path(opened.id)
    content = file.read_bytes()
    file.unlink()
    if what == "link":
        (path.parent / "secret").write_bytes(content)
        file.symlink_to(path.parent / "secret")
    elif what == "folder":
        file.mkdir()
    else:
        os.mkfifo(file)
    with pytest.raises(StoreDataError):
        store.load(stage.load(opened))


def test_a_damaged_journal_is_told(path: Path, store: FileStore, stage: Stage) -> None:
    """A journal whose header cannot be read is no empty one."""
    opened = store.create(stage.create()).record
    journal = path / opened.id[:2] / "journal"
    journal.write_bytes(b"\xff" * 400 + journal.read_bytes()[400:])
    for command in (stage.load(opened), stage.save(opened, {"n": 1})):
        with pytest.raises(StoreDataError, match="journal of a shard is damaged"):
            command.apply(store)
    assert [finding.level for finding in store.examine() if finding.subject == "journals"] == ["problem"]
    other = next(one for one in (stage.new(f"owner {n}") for n in range(100)) if one.id[:2] != opened.id[:2])
    assert FileStore(path).create(stage.create(other)).record.id == other.id


def spoil(path: Path, opened: SessionRecord) -> None:
    """Change one byte of the first entry in the journal of its shard."""
    with (path / opened.id[:2] / "journal").open("r+b") as file:
        file.seek(journal.START + 40)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def journals(store: FileStore) -> list[str]:
    """Give what the examination says of the journals."""
    return [finding.level for finding in store.examine() if finding.subject == "journals"]


def test_a_damaged_entry_of_before_fails_no_call(
    path: Path, store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry that was carried out is needed only after a stop of the machine; its damage is told meanwhile."""
    opened = store.create(stage.create()).record
    assert journals(store) == ["ok"]
    spoil(path, opened)
    monkeypatch.setattr(journal, "LIMIT_BYTES", 2_000)
    for number in range(20):
        assert store.save(stage.save(opened, {"n": number, "text": "x" * 300})).outcome is Outcome.DONE
    assert "journal of a shard is damaged" in caplog.text
    assert journals(store) == ["problem"]
    assert journals(FileStore(path)) == ["problem"]


def test_saves_behind_a_damaged_entry_are_not_silently_forgotten(
    path: Path, store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop of the machine, when the files may be those of before, the damage is told to whoever asks."""
    opened = store.create(stage.create()).record
    former = (path / row_path(opened.id)).read_bytes()
    for number in range(5):
        store.save(stage.save(opened, {"n": number}))
    spoil(path, opened)
    (path / row_path(opened.id)).write_bytes(former)
    monkeypatch.setattr(booting, "this_boot", lambda: b"another boot id.")
    again = FileStore(path)
    for command in (stage.get(opened), stage.load(opened), stage.save(opened, {"n": 9})):
        with pytest.raises(StoreDataError, match="journal of a shard is damaged"):
            command.apply(again)
    assert journals(again) == ["problem"]


def test_a_damaged_entry_that_is_not_carried_out_is_told(
    path: Path, store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided and cannot be read any more is damage to readers and writers, whoever finds it."""
    new = stage.new()

    def full(self: LockedShard, changes: object, prepared: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as there:
        there.setattr(LockedShard, "_carry_out", full)
        opened = store.create(stage.create(new)).record
    spoil(path, opened)
    for command in (stage.get(opened), stage.save(opened, {"n": 1})):
        with pytest.raises(StoreDataError, match="journal of a shard is damaged"):
            command.apply(store)


@pytest.mark.parametrize("verb", ["sweep", "purge"])
def test_a_damaged_session_keeps_no_other_from_being_cleaned(
    path: Path, store: FileStore, stage: Stage, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What can be cleaned up is; the damage is logged then, and raised when nothing else is due."""
    opened = [store.create(stage.create(f"owner {n}", at=n * TICK)).record for n in range(5)]
    if verb == "purge":
        for n, record in enumerate(opened):
            store.end(stage.end(record, at=n * TICK))
    (path / row_path(opened[1].id)).write_bytes(b"{")
    if verb == "sweep":
        swept = store.sweep(stage.sweep(2, at=IDLE + SECOND))
        assert ([record.id for record in swept.records], swept.has_more) == ([opened[0].id, opened[2].id], True)
        assert len(store.sweep(stage.sweep(at=IDLE + SECOND)).records) == 2
    else:
        assert store.purge(stage.purge(at=RETENTION + SECOND)).count == 4
    assert f"session {opened[1].id} is damaged" in caplog.text
    command: c.Command[Any] = stage.sweep(at=IDLE + SECOND) if verb == "sweep" else stage.purge(at=RETENTION + SECOND)
    with pytest.raises(StoreDataError, match="damaged"):
        command.apply(store)


def test_a_store_that_is_taken_away_stops_a_clean_up(
    path: Path, store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is wrong with one session is passed over; a folder that is gone is told at once."""
    for number in range(5):
        store.create(stage.create(f"owner {number}"))
    asked: list[str] = []

    def read(view: View, session_id: str) -> Row | None:
        asked.append(session_id)
        if len(asked) == 2:
            path.rename(path.with_name("elsewhere"))
            assert store._shards.folder is not None
        return row_of(view, session_id)

    monkeypatch.setattr(cleaning, "row_of", read)
    with pytest.raises(StoreUnavailableError, match="replaced or removed"):
        store.sweep(stage.sweep(at=IDLE))
    assert len(asked) == 2


def test_an_answer_that_is_decided_and_not_written_yet_is_known(
    store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that is repeated answers the same, also while its log waits for the next writer."""
    opened = [store.create(stage.create(f"owner {number}")).record for number in range(3)]
    command, plain = stage.sweep(at=IDLE), LockedShard._carry_out

    def full_for_the_log(self: LockedShard, changes: changeset.Changes, prepared: Mapping[str, str]) -> None:
        if self.desk.shard == operations.SHARD:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(self, changes, prepared)

    with monkeypatch.context() as there:
        there.setattr(LockedShard, "_carry_out", full_for_the_log)
        first = store.sweep(command)
    assert len(first.records) == len(opened)
    assert store.sweep(command) == first


def test_entries_that_lead_nowhere_heal(path: Path, store: FileStore, stage: Stage) -> None:
    """A sweep removes entries of sessions that are gone, that ended, or that live on, and enters those anew."""
    opened = store.create(stage.create()).record
    gone = stage.new()
    folder = path / EXPIRING.path(stage.us(START), "x")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stray in (opened.id, gone.id, "not an id"):
        (path / EXPIRING.path(stage.us(START), stray)).symlink_to(stray)
    (path / EXPIRING.path(opened.expires_us, opened.id)).unlink()
    assert disorder(path)
    assert store.sweep(stage.sweep(at=SECOND)).records == ()
    assert disorder(path) == []
    assert [record.id for record in store.sweep(stage.sweep(at=IDLE)).records] == [opened.id]


def test_a_slot_whose_session_is_gone_opens_anew(path: Path, store: FileStore, stage: Stage) -> None:
    """An entry of a slot that leads nowhere keeps no one out, and its generation stays used."""
    opened = store.get_or_create(stage.get_or_create()).record
    (path / row_path(opened.id)).unlink()
    again = store.get_or_create(stage.get_or_create()).record
    assert again.id != opened.id
    assert again.generation > opened.generation


@pytest.mark.parametrize("name", ["../../../etc/passwd", "..", "", "a" * 34 + "/", "A" * 34, "00" * 17 + "\n"])
def test_t50_what_is_no_id_names_no_file(path: Path, store: FileStore, stage: Stage, name: str) -> None:
    """Ids become file names, so what is none is unknown everywhere, and no session can be opened under it."""

    class Known:
        id = name
        token_hash = b""

    known: Row = Known()  # type: ignore[assignment]
    assert store.get(stage.get(known)) is None  # type: ignore[arg-type]
    assert store.load(stage.load(b"")).refusal == "unknown"
    for command in (stage.save(known, {"n": 1}), stage.end(known), stage.touch(known)):  # type: ignore[arg-type]
        assert command.apply(store).record is None
    assert store.release_lock(stage.release(known, "one")).fence == 0  # type: ignore[arg-type]
    new = stage.new()
    object.__setattr__(new, "id", name)
    with pytest.raises(InvalidArgumentError):
        store.create(c.Create(new, None, "0" * 16))
