"""Reading, writing, listing and deleting files."""

import errno
import gc
import io
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest

from sessionguard.errors import LeaseLostError, MisuseError
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Quota, Usage
from sessionguard.workspaces.local.book import Book
from sessionguard.workspaces.local.holdings import Holdings
from sessionguard.workspaces.local.pages import Page
from tests.workspaces.conftest import UNLIMITED


def unfinished(workspace: LocalWorkspace) -> list[str]:
    """Give the names of unfinished files on the disk."""
    return [name for name in os.listdir(workspace.path.parent / "private") if name != "ledger"]


def test_files_of_other_programs_are_listed_if_their_names_are_acceptable(workspace: LocalWorkspace) -> None:
    """A program that gets `path` may put files there; those with acceptable names can be listed and read."""
    (workspace.path / "sub").mkdir()
    (workspace.path / "sub" / "made.tif").write_bytes(b"123")
    (workspace.path / "bad:name").write_bytes(b"4567")
    (workspace.path / ".hidden").write_bytes(b"8")

    assert workspace.list() == ["sub/made.tif"]
    assert workspace.read("sub/made.tif") == b"123"
    assert workspace.usage() == Usage(bytes=8, files=3)


def test_threads_that_list_at_once_see_everything(workspace: LocalWorkspace) -> None:
    """Listings of one workspace in several threads do not take names from one another."""
    for number in range(200):
        (workspace.path / str(number)).touch()
    with ThreadPoolExecutor(4) as threads:
        counts = [future.result() for future in [threads.submit(lambda: len(workspace.list())) for _ in range(100)]]

    assert set(counts) == {200}


def test_deleting_takes_emptied_directories_along(workspace: LocalWorkspace) -> None:
    """`delete` removes one file and the directories it leaves empty, and says whether there was a file."""
    workspace.write("a/b/c", b"1")
    workspace.write("a/d", b"2")

    assert workspace.delete("a/b/c") is True
    assert os.listdir(workspace.path / "a") == ["d"]
    assert workspace.delete("a/d") is True
    assert list(workspace.path.iterdir()) == []
    assert workspace.delete("a/d") is False
    assert workspace.delete("x") is False


def test_a_file_appears_only_when_it_is_closed(workspace: LocalWorkspace) -> None:
    """Until it is closed a new file is not there and an old one is unchanged, also for other programs."""
    workspace.write("old", b"old")
    with workspace.open("old", "wb") as old, workspace.open("deep/new", "xb") as new:
        old.write(b"replaced")
        new.write(b"new")
        assert workspace.list() == ["old"]
        assert workspace.read("old") == b"old"
        assert os.listdir(workspace.path) == ["old"]

    assert workspace.list() == ["deep/new", "old"]
    assert workspace.read("old") == b"replaced"


@pytest.mark.parametrize("mode,data", [("wb", b"new"), ("w", "new")])
def test_an_exception_discards_what_was_written(workspace: LocalWorkspace, mode: str, data: bytes | str) -> None:
    """An exception in the block leaves the old file and nothing else."""
    workspace.write("a", b"old")

    file = workspace.open("a", mode)
    file.write(data)
    with pytest.raises(ZeroDivisionError), file:
        _ = 1 / 0

    assert workspace.read("a") == b"old"
    assert unfinished(workspace) == []


@pytest.mark.parametrize("mode,data", [("wb", b"new"), ("w", "new")])
def test_a_forgotten_file_is_not_published(workspace: LocalWorkspace, mode: str, data: bytes | str) -> None:
    """A file that is dropped without being closed leaves nothing behind once the next one is written."""
    file = workspace.open("a", mode)
    file.write(data)
    del file
    gc.collect()

    assert workspace.list() == []
    workspace.write("b", b"")
    assert workspace.list() == ["b"]
    assert unfinished(workspace) == []


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_collecting_a_forgotten_file_waits_for_nothing(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The collector may run in a thread that holds the ledger at that moment; it must not wait for itself."""
    recount = Holdings.recount

    def recount_and_collect(holdings: Holdings, book: Book, beat: Callable[[], None], *, is_new: bool = False) -> None:
        gc.collect()
        recount(holdings, book, beat, is_new=is_new)

    waits: list[float] = []
    pause, mine = time.sleep, threading.get_ident()

    def watched(seconds: float) -> None:
        if threading.get_ident() == mine:
            waits.append(seconds)
        pause(seconds)

    monkeypatch.setattr(Holdings, "recount", recount_and_collect)
    monkeypatch.setattr(time, "sleep", watched)
    file: Any = workspace.open("a", mode)
    file.cycle = file
    del file
    assert workspace.usage() == Usage(0, 0)
    assert waits == []
    assert unfinished(workspace) == []


def test_a_failed_source_discards_what_came_before(workspace: LocalWorkspace) -> None:
    """When the chunks of `write` end in an exception nothing is published."""

    def chunks() -> Iterator[bytes]:
        yield b"part"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        workspace.write("a", chunks())

    assert workspace.list() == unfinished(workspace) == []


def test_a_writer_may_go_back(workspace: LocalWorkspace) -> None:
    """Formats that write their header last can: seek, tell, truncate."""
    with workspace.open("a", "wb") as file:
        file.write(b"....data and more")
        file.seek(0)
        file.write(b"head")
        assert file.tell() == 4
        assert file.seek(-5, os.SEEK_END) == 12
        file.truncate()

    assert workspace.read("a") == b"headdata and"


def test_other_libraries_can_write_into_it(workspace: LocalWorkspace) -> None:
    """A zip archive written straight into a workspace is whole."""
    with workspace.open("a.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", b"y" * 1000)

    with workspace.open("a.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None


def test_a_failing_disk_leaves_the_old_file(workspace: LocalWorkspace) -> None:
    """An error while writing or making durable reaches the caller, and the old file stays."""
    workspace.write("a", b"old")
    for call in ("pwrite", "fsync", "rename"):
        with (
            mock.patch(
                f"sessionguard.workspaces.local.writing.os.{call}", side_effect=OSError(28, "No space left on device")
            ),
            pytest.raises(OSError, match="No space"),
        ):
            workspace.write("a", b"new")

    assert workspace.read("a") == b"old"
    assert workspace.usage() == Usage(bytes=3, files=1)
    assert unfinished(workspace) == []


def test_a_workspace_removed_by_force_is_noticed(workspace: LocalWorkspace) -> None:
    """When someone deletes the directory under a lease, writing says so instead of writing nowhere."""
    moved = workspace.path.parent.with_name("moved")
    unpublished = workspace.open("a", "wb")
    workspace.path.parent.rename(moved)
    with pytest.raises(LeaseLostError):
        unpublished.close()
    with pytest.raises(LeaseLostError):
        workspace.open("a", "wb")
    workspace.path.parent.mkdir()
    with pytest.raises(LeaseLostError):
        workspace.write("a", b"1")

    assert os.listdir(moved / "files") == []


def test_a_closed_workspace_is_of_no_use(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Every call on a closed workspace is a misuse with a remedy; a file open for reading stays readable."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"abc")
        reading = workspace.open("a")
    calls: list[Callable[[], object]] = [
        lambda: workspace.open("a"),
        lambda: workspace.write("a", b""),
        lambda: workspace.read("a"),
        workspace.list,
        workspace.usage,
        lambda: workspace.delete("a"),
    ]
    for call in calls:
        with pytest.raises(MisuseError, match="open it again"):
            call()
    with reading:
        assert reading.read() == b"abc"


def test_text_without_end_is_flushed_at_the_end(workspace: LocalWorkspace) -> None:
    """Text still buffered when the file is closed belongs to the file."""
    with workspace.open("a", "w") as file:
        file.write("x" * 10)
        assert isinstance(file, io.TextIOBase)

    assert workspace.read("a") == b"x" * 10


def test_a_quota_of_nothing_is_no_limit() -> None:
    """A quota left out is no limit."""
    assert Quota() == UNLIMITED


def broken(number: int) -> Callable[..., None]:
    """Give a call that fails."""

    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_a_deletion_that_fails_deletes_nothing(workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a full disk is a reason to go on by other means."""
    workspace.write("a", b"1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", broken(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            workspace.delete("a")
    assert workspace.read("a") == b"1"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_deletion_without_room_for_the_book_is_done(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """On a full disk the file goes, and nothing stays open."""
    workspace.write("a", b"1")
    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(Page, "announce", broken(number))
        assert workspace.delete("a")
    assert workspace.list() == []
    assert os.listdir("/proc/self/fd") == before
    workspace.write("a", b"2")
    (workspace.path.parent / "private" / "gone").mkdir(exist_ok=True)
    assert workspace.delete("a"), "what one who was killed left is no obstacle"
    assert os.listdir(workspace.path.parent / "private") == ["ledger"]


def test_a_file_that_another_program_deletes_first_was_not_deleted_here(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who deletes is told who did."""
    workspace.write("a", b"1")
    real = Page.announce

    def outrun(page: Page, doing: str) -> None:
        (workspace.path / "a").unlink()
        real(page, doing)

    monkeypatch.setattr(Page, "announce", outrun)
    assert workspace.delete("a") is False
