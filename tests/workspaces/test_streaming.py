"""Large files: in and out with little memory, from chunks, from files and into files."""

import errno
import gzip
import hashlib
import io
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import pytest

from sessionguard.errors import QuotaExceededError
from sessionguard.testing import ChildProcess
from sessionguard.testing.profile import Profile
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Quota, Usage

MIB = 1024 * 1024
MOST_EXTRA_BYTES = 32 * MIB


def chunks(size: int) -> Iterator[bytes]:
    """Give that many bytes, a MiB at a time, each a little different."""
    block = bytes(range(256)) * 4096
    for number in range(size // MIB):
        yield number.to_bytes(8, "big") + block[8:]


def stream(line: Connection, workspaces: LocalWorkspaces, session_id: str, size: int) -> tuple[int, bool]:
    """Stream a file in and out, and copy it; give the extra memory that it took, and whether it came back whole."""
    with workspaces.lease(session_id, Quota(4 * size, None)) as workspace:
        workspace.write("warm", b"x")
        workspace.read("warm")
        before = memory("VmRSS")
        workspace.write("a", chunks(size))
        with workspace.open("b", "wb") as target, workspace.open("a") as source:
            while piece := source.read(MIB):
                target.write(piece)
        with workspace.open("a") as source:
            workspace.write("c", source)
        extra = memory("VmHWM") - before
        return extra, len({digest(workspace, name) for name in "abc"} | {expected_digest(size)}) == 1


def memory(name: str) -> int:
    """Give a size of this process from /proc, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def digest(workspace: LocalWorkspace, name: str) -> str:
    """Give the digest of a file."""
    found = hashlib.blake2b()
    with workspace.open(name) as file:
        while piece := file.read(MIB):
            found.update(piece)
    return found.hexdigest()


def expected_digest(size: int) -> str:
    """Give the digest of what `chunks` gives."""
    found = hashlib.blake2b()
    for chunk in chunks(size):
        found.update(chunk)
    return found.hexdigest()


@pytest.mark.processes
def test_a_large_file_takes_little_memory(workspaces: LocalWorkspaces, session_id: str, sg_profile: Profile) -> None:
    """A file of 1 GB (64 MB in continuous integration) goes in, across and out with less than 32 MB more memory."""
    size = 1024 * MIB if sg_profile.name == "deep" else 64 * MIB
    with ChildProcess(stream, workspaces, session_id, size) as child:
        extra, is_whole = child.finish(sg_profile.patience)
    assert is_whole
    assert extra < MOST_EXTRA_BYTES


def plain(content: bytes) -> IO[bytes]:
    """A plain file on the disk, opened by name."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return Path(file.name).open("rb")


def unbuffered(content: bytes) -> IO[bytes]:
    """A plain file without a buffer."""
    with plain(content) as file:
        return os.fdopen(os.dup(file.fileno()), "rb", buffering=0)


def in_memory(content: bytes) -> IO[bytes]:
    """Bytes in memory."""
    return io.BytesIO(content)


def compressed(content: bytes) -> IO[bytes]:
    """A file that is not what its descriptor gives."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(gzip.compress(content))
        file.flush()
        return gzip.open(file.name)  # type: ignore[return-value]


class Inverted(io.FileIO):
    """A plain file that is read otherwise than it is stored."""

    def readinto(self, buffer: Any, /) -> int:
        """Read with every bit turned."""
        size = super().readinto(buffer)
        buffer[:size] = inverted(bytes(buffer[:size]))
        return size


def inverted(content: bytes) -> bytes:
    """Turn every bit."""
    return bytes(255 - byte for byte in content)


def translated(content: bytes) -> IO[bytes]:
    """A buffer over a file that gives something else than its descriptor."""
    with plain(inverted(content)) as file:
        return io.BufferedReader(Inverted(os.dup(file.fileno())))


def piped(content: bytes) -> IO[bytes]:
    """A pipe."""
    source, target = os.pipe()
    os.write(target, content)
    os.close(target)
    return os.fdopen(source, "rb")


@pytest.mark.parametrize("make", [plain, unbuffered, in_memory, compressed, translated, piped])
def test_a_file_is_copied_from_where_it_stands(workspace: LocalWorkspace, make: Callable[[bytes], IO[bytes]]) -> None:
    """Whatever kind of file `write` is given, it takes what reading gives: from its position to its end."""
    content = b"skipped" + secrets.token_bytes(30_000) + b"\n" * 1000
    with make(content) as source:
        assert source.read(7) == b"skipped"
        assert workspace.write("a", source) == 31_000
        assert source.read() == b""
    assert workspace.read("a") == content[7:]
    assert workspace.usage() == Usage(31_000, 1)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM])
def test_what_the_kernel_cannot_copy_is_read(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where a file system or a filter forbids copying inside the kernel, also half-way, the rest is read."""
    real = os.copy_file_range
    calls = []

    def once(source: int, target: int, count: int, *offsets: int) -> int:
        calls.append(count)
        if len(calls) > 1:
            raise OSError(number, os.strerror(number))
        return real(source, target, 10_000, *offsets)

    monkeypatch.setattr(os, "copy_file_range", once)
    content = secrets.token_bytes(30_000)
    with plain(content) as source:
        workspace.write("a", source)
    assert workspace.read("a") == content
    assert len(calls) == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_disk_that_fails_while_the_kernel_copies_is_told(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where no other way of copying would do better the error is told as it is, and nothing is left."""

    def failing(*_: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", failing)
    with plain(b"new") as source, pytest.raises(OSError) as caught:  # noqa: PT011
        workspace.write("a", source)
    assert caught.value.errno == number
    assert os.listdir(workspace.path.parent / "private") == ["ledger"]
    assert workspace.usage() == Usage(0, 0)


@pytest.mark.parametrize("make", [plain, in_memory])
def test_a_copy_meets_the_quota(
    workspaces: LocalWorkspaces, session_id: str, make: Callable[[bytes], IO[bytes]]
) -> None:
    """A file that does not fit is refused, and nothing of it stays."""
    with workspaces.lease(session_id, Quota(bytes=1000)) as workspace:
        with make(b"x" * 1001) as source, pytest.raises(QuotaExceededError):
            workspace.write("a", source)
        assert workspace.usage() == Usage(0, 0)
        assert os.listdir(workspace.path.parent / "private") == ["ledger"]
        with make(b"x" * 1000) as source:
            workspace.write("a", source)


def test_a_large_file_asks_the_ledger_rarely(workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The more a file holds the more it claims ahead, so that 64 MiB in small pieces are no thousand questions."""
    asked: list[Any] = []
    real = type(workspace._ledger).reserve

    def reserve(*arguments: Any) -> int:
        asked.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(type(workspace._ledger), "reserve", reserve)
    piece = b"x" * 65_536
    workspace.write("a", (piece for _ in range(1024)))
    assert len(asked) <= 10
