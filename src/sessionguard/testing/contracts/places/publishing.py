"""Cases about files: unseen until they are closed, whole or not at all."""

import gc
import io
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, Final

from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, Site, new_session, refused
from sessionguard.workspaces.quota import Usage

MOST_AT_ONCE: Final = 16 * 1024 * 1024


@case
def what_is_written_is_read(site: Site) -> None:
    """Bytes, text and chunks come back as bytes; the length is the number of bytes."""
    with site.leased() as workspace:
        written: dict[str, bytes | str] = {"bytes": b"\0\xff", "text": "é", "empty": b""}
        lengths = [workspace.write(name, data) for name, data in written.items()]
        assert lengths == [2, 2, 0]
        assert workspace.write("chunks", iter([b"ab", b"", b"cde"])) == 5
        assert workspace.write("view", memoryview(bytearray(b"xyz"))) == 3
        read = {name: workspace.read(name) for name in workspace.list()}
        assert read == {"bytes": b"\0\xff", "text": "é".encode(), "empty": b"", "chunks": b"abcde", "view": b"xyz"}


class _Tape:
    """A binary file without a newline, that gives what it is asked for and cannot be asked for all."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int, /) -> bytes:
        assert 0 < size <= MOST_AT_ONCE, f"{size} bytes were asked for at once"
        given = min(size, self._left)
        self._left -= given
        return bytes(given)

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("it was read by lines, and a line may be as long as the file")


class _Wrapped:
    """A file that passes on what it is asked for, as uploads and named temporary files do."""

    def __init__(self, file: _Tape) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)


@case
def an_open_file_is_taken_in_pieces(site: Site) -> None:
    """What a file open for reading gives is asked for in pieces of 16 MiB at most, never by lines."""
    with site.leased() as workspace:
        assert workspace.write("a", _Wrapped(_Tape(3_000_001))) == 3_000_001
        workspace.write_all([("b", _Tape(3_000_002)), ("c", _Tape(0))])
        assert [len(workspace.read(name)) for name in workspace.list()] == [3_000_001, 3_000_002, 0]


@case
def what_is_being_read_outlives_the_lease(site: Site) -> None:
    """A file that was opened for reading can be read to its end after the workspace was closed, as a response does."""
    with site.leased() as workspace:
        workspace.write("a", b"1" * 300_000)
        file = workspace.open("a")
        assert file.read(1) == b"1"
    with file:
        assert len(file.read()) == 299_999


@case
def what_is_no_data_is_refused(site: Site) -> None:
    """Numbers, text in pieces, files opened as text and a dict of files raise InvalidArgumentError; nothing is left."""
    with site.leased() as workspace:
        workspace.write("a", b"old")
        for data in (5, None, ["text"], iter([b"1", None]), io.StringIO("text")):
            refused(InvalidArgumentError, lambda data=data: workspace.write("a", data))  # type: ignore[misc]
        refused(InvalidArgumentError, lambda: workspace.write_all({"ab": b"1"}))  # type: ignore[dict-item]
        assert workspace.list() == ["a"]
        assert workspace.read("a") == b"old"


@case
def a_link_is_given_or_refused_with_the_reason(site: Site) -> None:
    """`download_url` gives a URL, or MisuseError where no link leads to the files."""
    with site.leased() as workspace:
        workspace.write("a", b"1")
        try:
            link = workspace.download_url("a", expires=timedelta(minutes=1))
        except MisuseError:
            return
        assert link.startswith(("http://", "https://"))
        refused(FileNotFoundError, lambda: workspace.download_url("b"))


@case
def a_file_of_megabytes_streams_through(site: Site) -> None:
    """What is written in pieces is read whole, at once or in pieces of another size."""
    piece = bytes(range(256)) * 4096
    with site.leased() as workspace:
        with workspace.open("a", "wb") as file:
            for _ in range(7):
                file.write(piece)
        assert workspace.usage() == Usage(7 * len(piece), 1)
        with workspace.open("a") as file:
            pieces = list(iter(lambda: file.read(300_001), b""))
        assert b"".join(pieces) == workspace.read("a") == piece * 7


@case
def text_is_utf_8_unless_said_otherwise(site: Site) -> None:
    """Text modes keep to UTF-8, `encoding` and `newline`, whatever the machine; other modes are refused."""
    with site.leased() as workspace:
        with workspace.open("a.csv", "w", newline="") as file:
            file.write("ö\r\n")
        assert workspace.read("a.csv") == "ö\r\n".encode()
        with workspace.open("a.csv", "r") as file:
            assert file.read() == "ö\n"
        with workspace.open("b", "x", encoding="latin-1") as file:
            file.write("ö")
        assert workspace.read("b") == b"\xf6"
        for mode in ("a", "r+", "rb+", "", "wbx", None):
            refused(InvalidArgumentError, lambda mode=mode: workspace.open("c", mode))  # type: ignore[misc]


@case
def files_are_listed_sorted_and_counted(site: Site) -> None:
    """`list` gives files only, sorted, nested ones with a slash; `usage` counts the same files."""
    with site.leased() as workspace:
        for name in ("b", "a/z.csv", "a/b/c", "C"):
            workspace.write(name, name)
        assert workspace.list() == ["C", "a/b/c", "a/z.csv", "b"]
        assert workspace.usage() == Usage(bytes=14, files=4)
        workspace.write("b", b"longer")
        assert workspace.usage() == Usage(bytes=19, files=4)


@case
def a_missing_file_is_told_by_its_own_name(site: Site) -> None:
    """Reading what is not there raises FileNotFoundError with the name that was asked for and no other."""
    with site.leased() as workspace:
        workspace.write("a/b", b"1")
        for name in ("nothing", "no/such/thing", "a/c"):
            error = refused(FileNotFoundError, lambda name=name: workspace.read(name))  # type: ignore[misc]
            assert error.filename == name


@case
def what_is_deleted_is_gone(site: Site) -> None:
    """`delete` tells whether there was a file, takes that one only, and its name can be used anew."""
    with site.leased() as workspace:
        workspace.write("a/b/c", b"1")
        workspace.write("a/d", b"2")
        assert workspace.delete("a/b/c") is True
        assert workspace.delete("a/b/c") is False
        assert workspace.list() == ["a/d"]
        workspace.write("a/b", b"3")
        assert workspace.list() == ["a/b", "a/d"]


@case
def a_file_appears_only_when_it_is_closed(site: Site) -> None:
    """Until then a new file is not there and an old one is unchanged, for everyone."""
    session_id = new_session()
    with site.workspaces.lease(session_id, UNLIMITED) as ours, site.another().lease(session_id, UNLIMITED) as theirs:
        ours.write("old", b"old")
        with ours.open("old", "wb") as old, ours.open("deep/new", "xb") as new:
            old.write(b"replaced")
            new.write(b"new")
            for workspace in (ours, theirs):
                assert workspace.list() == ["old"]
                assert workspace.read("old") == b"old"
                refused(FileNotFoundError, partial(workspace.read, "deep/new"))
        assert theirs.list() == ["deep/new", "old"]
        assert theirs.read("old") == b"replaced"


@case
def an_exception_discards_what_was_written(site: Site) -> None:
    """An exception in the block of a file, or in the source of `write`, leaves the old file and nothing else."""
    with site.leased() as workspace:
        workspace.write("a", b"old")
        for mode, data in (("wb", b"new"), ("w", "new")):
            refused(ZeroDivisionError, lambda mode=mode, data=data: _fail_within(workspace, mode, data))  # type: ignore[misc]

        def source() -> Iterator[bytes]:
            yield b"part"
            raise ConnectionError

        refused(ConnectionError, lambda: workspace.write("a", source()))
        refused(ConnectionError, lambda: workspace.write("b", source()))
        assert workspace.list() == ["a"]
        assert workspace.read("a") == b"old"


def _fail_within(workspace: object, mode: str, data: object) -> None:
    with workspace.open("a", mode) as file:  # type: ignore[attr-defined]
        file.write(data)
        _ = 1 / 0


@case
def a_forgotten_file_is_not_published(site: Site) -> None:
    """A file that is dropped without being closed never appears."""
    with site.leased() as workspace:
        for mode, data in (("wb", b"new"), ("w", "new")):
            file = workspace.open("a", mode)
            file.write(data)
            del file
            gc.collect()
        workspace.write("b", b"")
        assert workspace.list() == ["b"]


@case
def exclusive_creation_never_replaces(site: Site) -> None:
    """Mode "x" refuses an existing file at once, and one that came meanwhile when it is closed."""
    with site.leased() as workspace:
        second = workspace.open("a", "xb")
        second.write(b"second")
        workspace.write("a", b"first")
        refused(FileExistsError, second.close)
        refused(FileExistsError, lambda: workspace.open("a", "x"))
        assert workspace.read("a") == b"first"


@case
def closing_the_workspace_discards_unfinished_files(site: Site) -> None:
    """A file still open when its workspace closes is gone, and can be neither written nor published any more."""
    session_id = new_session()
    workspace = site.workspaces.lease(session_id, UNLIMITED)
    file = workspace.open("a", "wb")
    file.write(b"part")
    workspace.close()
    workspace.close()
    refused((ValueError, MisuseError), lambda: file.write(b"more"))
    file.close()
    with site.workspaces.lease(session_id, UNLIMITED) as again:
        assert again.list() == []


@case
def a_closed_workspace_is_of_no_use(site: Site) -> None:
    """Every call on a closed workspace is a misuse with a remedy."""
    with site.leased() as workspace:
        workspace.write("a", b"abc")
    for call in (
        lambda: workspace.open("a"),
        lambda: workspace.write("a", b""),
        lambda: workspace.write_all([("a", b"")]),
        lambda: workspace.read("a"),
        workspace.list,
        workspace.usage,
        lambda: workspace.delete("a"),
    ):
        assert "open it again" in str(refused(MisuseError, call))


@case
def readers_see_the_old_file_or_the_new(site: Site) -> None:
    """While writers replace a file again and again, every reader gets one whole version, and the one it began with."""
    versions = {bytes([number]) * 50_000 for number in range(4)}
    session_id, wrong, done = new_session(), [], threading.Event()

    def write(number: int) -> None:
        with site.another().lease(session_id, UNLIMITED) as workspace:
            for _ in range(site.profile.rounds * 2):
                with workspace.open("a", "wb") as file:
                    for _ in range(5):
                        file.write(bytes([number]) * 10_000)

    def read() -> None:
        with site.another().lease(session_id, UNLIMITED) as workspace:
            while not done.is_set():
                with workspace.open("a") as file:
                    content = b"".join(iter(lambda: file.read(7_000), b""))
                if content not in versions:
                    wrong.append(content[:20])

    with site.workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", bytes(50_000))
        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        readers = [threading.Thread(target=read) for _ in range(2)]
        for thread in (*writers, *readers):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
        assert wrong == []
        assert workspace.read("a") in versions
