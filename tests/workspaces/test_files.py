"""Reading, writing, listing and deleting files."""

import gc
import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sessionguard.errors import InvalidArgumentError, LeaseLostError, MisuseError
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Quota, Usage
from sessionguard.workspaces.local.book import Book
from sessionguard.workspaces.local.ledger import Ledger
from tests.workspaces.conftest import UNLIMITED


def unfinished(workspace: LocalWorkspace) -> list[str]:
    """Give the names of unfinished files on the disk."""
    return [name for name in os.listdir(workspace.path.parent / "private") if name != "ledger"]


def test_what_is_written_is_read(workspace: LocalWorkspace) -> None:
    """Bytes, text and chunks come back as bytes; the length is the number of bytes."""
    assert workspace.write("bytes", b"\0\xff") == 2
    assert workspace.write("text", "é") == 2
    assert workspace.write("chunks", iter([b"ab", b"", b"cde"])) == 5
    assert workspace.write("empty", b"") == 0
    assert workspace.write("view", memoryview(bytearray(b"xyz"))) == 3

    assert [workspace.read(name) for name in ("bytes", "text", "chunks", "empty")] == [
        b"\0\xff",
        "é".encode(),
        b"abcde",
        b"",
    ]


def test_text_mode_is_utf_8_whatever_the_machine(workspace: LocalWorkspace) -> None:
    """Text files are UTF-8 and honour `newline`."""
    with workspace.open("a.csv", "w", newline="") as file:
        file.write("ö\r\n")

    assert workspace.read("a.csv") == "ö\r\n".encode()
    with workspace.open("a.csv", "r") as file:
        assert file.read() == "ö\n"


def test_names_are_listed_sorted_and_nested(workspace: LocalWorkspace) -> None:
    """`list` gives files only, sorted, nested ones with a slash."""
    for name in ("b", "a/z.csv", "a/b/c", "C"):
        workspace.write(name, name)

    assert workspace.list() == ["C", "a/b/c", "a/z.csv", "b"]
    assert workspace.usage() == Usage(bytes=14, files=4)


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


def test_a_missing_file_is_told_by_its_own_name(workspace: LocalWorkspace, tmp_path: Path) -> None:
    """Reading what is not there raises FileNotFoundError without a path of the machine."""
    for name in ("nothing", "no/such/thing"):
        with pytest.raises(FileNotFoundError) as caught:
            workspace.read(name)
        assert str(tmp_path) not in str(caught.value)
        assert name in str(caught.value)


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
    recount = Ledger.recount

    def recount_and_collect(ledger: Ledger, book: Book) -> None:
        gc.collect()
        recount(ledger, book)

    monkeypatch.setattr(Ledger, "recount", recount_and_collect)
    file: Any = workspace.open("a", mode)
    file.cycle = file
    del file
    began = time.monotonic()
    assert workspace.usage() == Usage(0, 0)
    assert time.monotonic() - began < 5
    assert unfinished(workspace) == []


def test_a_failed_source_discards_what_came_before(workspace: LocalWorkspace) -> None:
    """When the chunks of `write` end in an exception nothing is published."""

    def chunks() -> Iterator[bytes]:
        yield b"part"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        workspace.write("a", chunks())

    assert workspace.list() == unfinished(workspace) == []


def test_closing_the_workspace_discards_unfinished_files(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A file still open when its workspace closes is gone, and cannot be written or published any more."""
    workspace = workspaces.lease(session_id, UNLIMITED)
    file = workspace.open("a", "wb")
    file.write(b"part")
    workspace.close()
    workspace.close()

    with pytest.raises(ValueError, match="closed"):
        file.write(b"more")
    file.close()
    with workspaces.lease(session_id, UNLIMITED) as again:
        assert again.list() == unfinished(again) == []


def test_exclusive_creation_never_replaces(workspace: LocalWorkspace) -> None:
    """Mode "x" refuses an existing file at once, and one that came meanwhile when it is closed."""
    with workspace.open("a", "xb") as first:
        first.write(b"first")
        second = workspace.open("a", "xb")
        second.write(b"second")

    with pytest.raises(FileExistsError):
        second.close()
    with pytest.raises(FileExistsError):
        workspace.open("a", "x")
    assert workspace.read("a") == b"first"
    assert unfinished(workspace) == []


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


def test_a_large_file_streams_through(workspace: LocalWorkspace) -> None:
    """Several steps of the quota later every byte is there."""
    chunk = os.urandom(700_000)
    with workspace.open("a", "wb") as file:
        for _ in range(5):
            file.write(chunk)

    assert workspace.read("a") == chunk * 5


@pytest.mark.parametrize("mode", ["a", "r+", "rb+", "", "wbx", "U", None])
def test_other_modes_are_refused(workspace: LocalWorkspace, mode: str) -> None:
    """Appending and updating in place cannot be atomic and are refused with the modes that work."""
    with pytest.raises(InvalidArgumentError):
        workspace.open("a", mode)


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
