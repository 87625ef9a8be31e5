"""A disk that is soon full: a small file system of its own, or a limit on the files of this process."""

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sessionguard.testing.servers.guarding import Watcher

DiskKind = Literal["best", "mount", "limit"]


class SmallDisk(ABC):
    """A folder with little space, which `resize` changes."""

    is_mounted: bool
    """Whether it is a file system of its own; else only this process is limited, and each file by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def resize(self, size_bytes: int) -> None:
        """There is space for so many bytes from now on; what is stored stays."""


class _MountedDisk(SmallDisk):
    is_mounted = True

    def __init__(self, path: Path, size_bytes: int) -> None:
        super().__init__(path)
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0755", "sessionguard", str(path))
        self._watcher = Watcher('umount -l "$1"; rmdir "$1"', path)

    def resize(self, size_bytes: int) -> None:
        _run("mount", "-o", f"remount,size={size_bytes}", str(self.path))

    def close(self) -> None:
        try:
            _run("umount", str(self.path))
        except OSError:
            # Something still has a file open there; it is gone when that ends.
            _run("umount", "-l", str(self.path))
        self._watcher.close()


class _LimitedFiles(SmallDisk):
    is_mounted = False

    def __init__(self, path: Path, size_bytes: int) -> None:
        super().__init__(path)
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.resize(size_bytes)

    def resize(self, size_bytes: int) -> None:
        # Python ignores the signal that comes with it: a write beyond it fails with EFBIG.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, self._before[1]))

    def close(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


@contextlib.contextmanager
def small_disk(size_bytes: int, kind: DiskKind = "best") -> Iterator[SmallDisk]:
    """Give a folder with space for `size_bytes`; it is removed afterwards with all that is in it.

    "mount" is a file system of its own, which holds so many bytes for everybody; only root can make one. "limit" lets
    no file that this process writes, there or anywhere, grow beyond so many bytes: use it in a `ChildProcess`, where
    it cannot hit the test run itself. "best" is the first where that can be had.

    Raises:
        PermissionError: a file system was asked for and cannot be mounted here.
    """
    # Resolved, because unmounting asks for the name under which it was mounted.
    path = Path(tempfile.mkdtemp(prefix="sg-disk-")).resolve()
    disk = None
    try:
        disk = _made(path, size_bytes, kind)
        yield disk
    finally:
        if disk is not None:
            disk.close()
        shutil.rmtree(path, ignore_errors=True)


def _made(path: Path, size_bytes: int, kind: DiskKind) -> _MountedDisk | _LimitedFiles:
    if kind == "limit":
        return _LimitedFiles(path, size_bytes)
    try:
        if os.geteuid() != 0:
            raise PermissionError("only root can mount a file system")
        return _MountedDisk(path, size_bytes)
    except OSError as error:
        if kind == "mount":
            raise PermissionError(f"no small file system can be made here: {error}") from error
        return _LimitedFiles(path, size_bytes)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")
