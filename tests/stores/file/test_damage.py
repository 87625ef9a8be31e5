"""Files that are swapped, damaged or missing: nothing is given to the wrong one, and entries that lead nowhere heal."""

import os
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import IdentityMismatchError, InvalidArgumentError, StoreDataError
from sessionguard.stores.file import FileStore
from sessionguard.stores.file.rows import Row
from sessionguard.stores.file.sessions import EXPIRING, row_path
from sessionguard.testing.contracts.stage import IDLE, SECOND, START, Stage
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
