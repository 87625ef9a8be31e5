"""No space, no permission to write, no descriptors: clean errors that help, nothing lost, and ends that still work."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.file import FileStore, ballast, cleaning, journal
from sessionguard.stores.file.shards import Shards
from sessionguard.testing.contracts.stage import IDLE, TOUCH, Stage
from sessionguard.testing.faults import ChildProcess, SmallDisk, small_disk
from tests.stores.file.inspecting import disorder
from tests.stores.file.workers import outgrow_files, run_out_of_descriptors

SIZE = 4 * 1024 * 1024


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """A file system of its own with little space."""
    try:
        with small_disk(SIZE, "mount") as disk:
            yield disk
    except PermissionError as error:
        pytest.skip(str(error))


@pytest.fixture
def path(disk: SmallDisk) -> Path:
    """A folder on it."""
    return disk.path / "sessions"


def filled(store: FileStore, stage: Stage) -> tuple[list[c.Opened], StoreUnavailableError]:
    """Create sessions until there is no space."""
    opened: list[c.Opened] = []
    while len(opened) < 2000:
        try:
            opened.append(store.create(stage.create(f"owner {len(opened)}", data={"text": "x" * 3000})))
        except StoreUnavailableError as error:
            return opened, error
    raise AssertionError("the disk is never full")


def test_t61_a_full_disk(disk: SmallDisk, path: Path, store: FileStore, stage: Stage) -> None:
    """Writes raise and say what helps; all sessions can be read, and ended; with space everything works again."""
    opened, error = filled(store, stage)
    assert "free some space; what was stored before is intact" in str(error)
    assert not error.transient
    assert len(opened) > 20
    assert all(store.load(stage.load(one.record)).record == one.record for one in opened)
    with suppress(OSError), (disk.path / "other").open("wb", buffering=0) as other:
        while True:
            other.write(b"x" * 4096)
    # Whoever is valid is not refused because it cannot be written down that they came.
    loaded = [store.load(stage.load(one.record, at=TOUCH)) for one in opened]
    assert [one.record and one.record.id for one in loaded] == [one.record.id for one in opened]
    assert not any(one.touched for one in loaded)
    (disk.path / "other").unlink()
    for one in opened[:10]:
        assert store.end(stage.end(one.record)).outcome is Outcome.DONE
    assert len(store.end_owner(stage.end_owner("owner 10")).records) == 1
    for one in opened[:11]:
        assert store.load(stage.load(one.record, at=TOUCH)).refusal == "ended"
    assert len(store.sweep(stage.sweep(20, at=IDLE)).records) == 20
    disk.resize(4 * SIZE)
    assert store.create(stage.create()).record.owner == "ana"
    assert disorder(path) == []
    # The room that was freed for that is taken again.
    assert not (path / "ballast").exists()
    store.purge(stage.purge())
    assert (path / "ballast").stat().st_size == ballast.BYTES


def test_a_disk_that_fills_up_half_way_keeps_what_was_decided(
    disk: SmallDisk, path: Path, store: FileStore, stage: Stage
) -> None:
    """An operation for which the journal had room, and the files had none, counts and is seen; it is done later."""
    opened, _ = filled(store, stage)
    refused = [one for one in opened if store.get(stage.get(one.record)) != one.record]
    assert refused == []
    listed = {record.id for record in store.page(stage.page(limit=2000)).records}
    # A create whose caller heard of the full disk may have been decided, but none of the others is missing.
    assert {one.record.id for one in opened} <= listed
    disk.resize(4 * SIZE)
    again = FileStore(path)
    again.create(stage.create())
    again.close()
    for one in opened:
        store.touch(stage.touch(one.record))
    assert disorder(path) == []


def test_t61_a_file_system_that_may_not_be_written(disk: SmallDisk, path: Path, store: FileStore, stage: Stage) -> None:
    """On a read-only file system sessions are read, also by a store that opens it then; writes say what it is."""
    opened = store.create(stage.create()).record
    subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
    for one in (store, FileStore(path)):
        assert one.load(stage.load(opened)).record == opened
        assert one.load(stage.load(opened, at=TOUCH)) == c.Loaded(opened)
        assert one.page(stage.page()).records == (opened,)
        with pytest.raises(StoreUnavailableError, match="mount the file system for writing"):
            one.end(stage.end(opened))
    subprocess.run(["mount", "-o", "remount,rw", str(disk.path)], check=True)
    assert store.end(stage.end(opened)).outcome is Outcome.DONE


@pytest.mark.processes
def test_t61_files_that_may_not_grow(tmp_path: Path) -> None:
    """At the limit of a process on the size of files writes raise, all earlier sessions are intact."""
    path = tmp_path / "sessions"
    stage = Stage(FileStore(path).identify(c.Identify()))
    with ChildProcess(outgrow_files, str(path)) as child:
        failure, stored, intact = child.hear()
    assert isinstance(failure, StoreUnavailableError)
    assert "limit of this user on the size of files" in str(failure)
    assert intact == stored > 0
    assert len(FileStore(path).page(stage.page(limit=1000)).records) == stored


@pytest.mark.processes
def test_t61_no_descriptor_left(tmp_path: Path) -> None:
    """Without descriptors every call raises, none reports absence, and afterwards the same store goes on."""
    path = tmp_path / "sessions"
    with ChildProcess(run_out_of_descriptors, str(path)) as child:
        errors, goes_on = child.hear()
    assert len(errors) == 4
    assert {type(error) for error in errors} == {StoreUnavailableError}
    assert all("ulimit -n" in str(error) for error in errors)
    assert goes_on


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES])
def test_a_load_that_cannot_be_noted_answers_if_there_is_no_room(
    store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Only for lack of room: any other trouble with the disk is told."""
    opened = store.create(stage.create()).record

    def append(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(journal, "append", append)
    if number in (errno.EIO, errno.EACCES):
        with pytest.raises(StoreUnavailableError):
            store.load(stage.load(opened, at=TOUCH))
    else:
        assert store.load(stage.load(opened, at=TOUCH)) == c.Loaded(opened)


def test_a_purge_that_is_done_is_told_whatever_becomes_of_the_room(
    store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong as the room for full disks is taken again is no failure of the purge."""
    store.end(stage.end(store.create(stage.create()).record))
    plain = cleaning.purge

    def purge(shards: Shards, command: c.Purge) -> c.Purged:
        purged = plain(shards, command)
        monkeypatch.setattr(os, "lstat", refuse)
        return purged

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as there:
        there.setattr(cleaning, "purge", purge)
        purged = store.purge(stage.purge(IDLE, at=2 * IDLE))
        monkeypatch.undo()
    assert purged.count == 1


def test_the_ballast_is_left_where_there_is_little_room(disk: SmallDisk, store: FileStore, stage: Stage) -> None:
    """A nearly full disk is not filled for the sake of room on it."""
    folder = store._shards.folder
    ballast.release(folder)
    free = os.statvfs(disk.path).f_bavail * os.statvfs(disk.path).f_frsize
    (disk.path / "other").write_bytes(b"x" * (free - 2 * ballast.BYTES))
    ballast.keep(folder)
    assert not ballast.release(folder)
