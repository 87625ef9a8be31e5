"""Files in a bucket: visible when the manifest says so, whole, under names of the client but never keys of his."""

import io
import os
import threading
from contextlib import suppress

import pytest

from sessionguard.errors import InvalidArgumentError, MisuseError, PathEscapeError, WorkspaceError
from sessionguard.testing import ChildProcess
from sessionguard.workspaces import Usage
from sessionguard.workspaces.s3 import S3Workspace, S3Workspaces
from sessionguard.workspaces.s3.settings import SMALLEST_PART
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents

LARGE = b"".join(bytes([number]) * 1_000_003 for number in range(12))


def test_what_was_written_is_read_by_everybody(workspaces: S3Workspaces, workspace: S3Workspace) -> None:
    """A file that was closed is read by another process, with its name in the list and its bytes in the usage."""
    assert workspace.write("a/ü b.csv", "größer\n") == 9
    with workspace.open("notes", "w", newline="\r\n") as notes:
        notes.write("one\n")

    with workspaces.lease(workspace.session_id, UNLIMITED) as other:
        assert other.list() == ["a/ü b.csv", "notes"]
        assert other.read("a/ü b.csv") == "größer\n".encode()
        assert other.read("notes") == b"one\r\n"
        with other.open("notes", "r") as text:
            assert text.read() == "one\n"
        assert other.usage() == Usage(9 + 5, 2)
        assert other.delete("notes")
        assert not other.delete("notes")
    with pytest.raises(FileNotFoundError):
        workspace.read("notes")


def test_no_key_is_made_of_what_a_client_says(workspace: S3Workspace, contents: Contents) -> None:
    """Beside the manifest there are only random keys."""
    workspace.write("name of a client", b"1")

    keys = contents.keys(workspace.session_id)
    assert len(keys) == 2
    assert all("client" not in key for key in keys)


def test_a_file_of_many_parts_comes_back_from_any_position(workspace: S3Workspace) -> None:
    """What is larger than a part is stored in parts, and read whole or from the middle."""
    assert len(LARGE) > 2 * SMALLEST_PART
    with workspace.open("large", "wb") as file:
        for start in range(0, len(LARGE), 700_001):
            file.write(LARGE[start : start + 700_001])
        assert file.tell() == len(LARGE)
        assert workspace.list() == []

    with workspace.open("large") as file:
        assert file.seek(-5, os.SEEK_END) == len(LARGE) - 5
        assert file.read() == LARGE[-5:]
        assert file.seek(6_000_000) == 6_000_000
        assert file.read(2_000_000) == LARGE[6_000_000:8_000_000]
        assert file.seek(-10, os.SEEK_CUR) == 7_999_990
        assert file.read(10) == LARGE[7_999_990:8_000_000]
        file.seek(0)
        assert file.read() == LARGE
        assert file.read() == b""


@pytest.mark.parametrize("size", [0, 1, SMALLEST_PART, SMALLEST_PART + 1, 2 * SMALLEST_PART])
def test_every_length_comes_back(workspace: S3Workspace, size: int) -> None:
    """Nothing, one part exactly and one byte more are stored as they are."""
    data = os.urandom(size)
    assert workspace.write("a", iter([data])) == size
    assert workspace.read("a") == data


def test_a_reader_goes_on_with_what_it_opened(workspace: S3Workspace) -> None:
    """Replaced or deleted, a file is read to its end as it was."""
    workspace.write("a", LARGE)
    with workspace.open("a") as first, workspace.open("a") as second:
        assert first.read(10) == LARGE[:10]
        workspace.write("a", b"new")
        workspace.delete("a")
        assert first.read() == LARGE[10:]
        assert second.read() == LARGE


@pytest.mark.parametrize("size", [10, SMALLEST_PART + 10])
def test_what_is_given_up_leaves_no_trace(workspace: S3Workspace, contents: Contents, size: int) -> None:
    """An exception in the block leaves the old file, no content and no unfinished upload."""
    workspace.write("a", b"old")
    for mode, data in [("wb", bytes(size)), ("w", "x" * size)]:
        file = workspace.open("a", mode)
        with suppress(KeyError), file:
            file.write(data)
            raise KeyError

    assert workspace.read("a") == b"old"
    assert len(contents.keys(workspace.session_id)) == 2
    assert contents.uploads() == 0


def test_closing_the_workspace_discards_what_is_unfinished(workspaces: S3Workspaces, session_id: str) -> None:
    """A file that was not closed before its workspace is not published, nor when it is closed later."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        file = workspace.open("a", "wb")
        file.write(b"1")
    with pytest.raises(ValueError, match="closed"):
        file.write(b"2")
    file.close()
    with pytest.raises(MisuseError, match="closed"):
        workspace.list()
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.list() == []


def test_only_one_of_two_makes_a_new_file(workspace: S3Workspace) -> None:
    """With "x", the second to close is told that there is a file, and the first one's stays."""
    first, second = workspace.open("a", "xb"), workspace.open("a", "xb")
    first.write(b"first")
    second.write(b"second")
    first.close()
    with pytest.raises(FileExistsError):
        second.close()
    with pytest.raises(FileExistsError):
        workspace.open("a", "x")
    assert workspace.read("a") == b"first"


@pytest.mark.parametrize(
    "taken, refused", [("a", "A"), ("a", "a/b"), ("a/b", "a"), ("a/b", "A/c"), ("straße", "STRASSE"), ("a/b", "a/B")]
)
def test_names_that_cannot_stand_side_by_side_are_refused(workspace: S3Workspace, taken: str, refused: str) -> None:
    """What a file system of some reader would take for the same name, or for a directory and a file, is refused."""
    workspace.write(taken, b"1")
    with pytest.raises(PathEscapeError):
        workspace.write(refused, b"2")
    with pytest.raises(FileNotFoundError):
        workspace.open(refused)
    assert workspace.list() == [taken]


def test_there_is_no_path(workspace: S3Workspace) -> None:
    """Who asks for a directory is told how to get one."""
    with pytest.raises(MisuseError, match="copyfileobj"):
        workspace.path  # noqa: B018


def test_what_is_no_mode_or_name_is_refused(workspace: S3Workspace) -> None:
    """A mode that there is not, and a name outside the allow-list, are refused before anything is asked."""
    with pytest.raises(InvalidArgumentError, match="mode"):
        workspace.open("a", "ab")
    with pytest.raises(PathEscapeError):
        workspace.write("../a", b"1")


def test_threads_share_a_workspace(workspace: S3Workspace) -> None:
    """Ten threads write ten files into one workspace at once; all are there."""
    writers = [threading.Thread(target=workspace.write, args=(f"f{number}", b"%d" % number)) for number in range(10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {name: workspace.read(name) for name in workspace.list()} == {f"f{n}": b"%d" % n for n in range(10)}


def use_in_child(line: object, workspace: S3Workspace, file: io.BufferedReader, unfinished: io.BufferedIOBase) -> None:
    """Try what a forked child may and may not do."""
    with pytest.raises(MisuseError, match="fork"):
        workspace.list()
    with pytest.raises(MisuseError, match="fork"):
        unfinished.write(b"child")
    unfinished.close()
    workspace.close()
    assert file.read() == LARGE[10:]
    os._exit(0)


@pytest.mark.processes
def test_a_forked_child_leaves_its_parents_files_alone(workspace: S3Workspace) -> None:
    """It may neither use the workspace nor finish a file; what it reads is not missing to its parent."""
    workspace.write("large", LARGE)
    unfinished = workspace.open("unfinished", "wb")
    unfinished.write(b"parent")
    with workspace.open("large") as file:
        assert file.read(10) == LARGE[:10]
        with ChildProcess(use_in_child, workspace, file, unfinished, start="fork") as child:
            assert child.wait_for_end() == 0
        assert file.read() == LARGE[10:]
    unfinished.close()
    assert workspace.read("unfinished") == b"parent"


def test_a_content_that_is_gone_or_cut_is_told(workspace: S3Workspace, contents: Contents) -> None:
    """What another program removed or replaced in the bucket is an error, and never short data."""
    workspace.write("a", b"0123456789")
    (key,) = [key for key in contents.keys(workspace.session_id) if key != "manifest"]
    contents.bucket.put(contents.layout.content(workspace.session_id, key), b"01234")
    with pytest.raises(WorkspaceError, match="not as long"):
        workspace.read("a")
    contents.bucket.delete([contents.layout.content(workspace.session_id, key)])
    with pytest.raises(WorkspaceError, match="removed by another program"):
        workspace.read("a")


def test_a_forgotten_writer_publishes_nothing(workspace: S3Workspace) -> None:
    """A file that nobody closed is not published by the garbage collector."""
    file = workspace.open("a", "wb")
    file.write(b"1")
    del file
    assert workspace.list() == []
