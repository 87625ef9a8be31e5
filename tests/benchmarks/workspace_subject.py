"""Subject: writing and reading files of a local workspace, against the same on a plain file with the same fsync."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, OwnerQuota, Quota
from tests.benchmarks.measuring import Case, Side, seconds

MIB: Final = 1024 * 1024
SMALL: Final = b"x" * 4096
GROUP: Final = "local workspace, by MiB"
AIM: Final = "<= 1.3x"


class BareFiles:
    """One folder; each method is one bare side, on one file of `n` MiB."""

    def __init__(self, folder: Path) -> None:
        self.chunk = secrets.token_bytes(MIB)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._path = folder / "file"
        self.source = folder / "source"

    def close(self) -> None:
        """Close the folder."""
        os.close(self._folder)

    def make_source(self, n: int) -> None:
        """Make the file that is copied."""
        self.source.write_bytes(self.chunk * n)

    def write(self, n: int) -> float:
        """Write a file, flush it, rename it, flush the folder."""
        return seconds(lambda: self._replace([self.chunk] * n))

    def write_small(self, n: int) -> float:
        """The same with files of 4 KiB."""

        def run() -> None:
            for _ in range(n):
                self._replace([SMALL])

        return seconds(run)

    def copy(self, n: int) -> float:
        """Copy a file inside the kernel, flush it, rename it, flush the folder."""
        self.make_source(n)
        new = self._path.with_name("new")

        def run() -> None:
            shutil.copyfile(self.source, new)
            with new.open("rb+") as file:
                os.fsync(file)
            new.rename(self._path)
            os.fsync(self._folder)

        return seconds(run)

    def read(self, n: int) -> float:
        """Read a file in chunks."""
        self.make_source(n)

        def run() -> None:
            with self.source.open("rb") as file:
                while file.read(MIB):
                    pass

        return seconds(run)

    def _replace(self, chunks: list[bytes]) -> None:
        new = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=self._folder)
        for chunk in chunks:
            os.write(new, chunk)
        os.fsync(new)
        os.close(new)
        os.rename("new", "file", src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)


def _writing(workspace: LocalWorkspace, bare: BareFiles) -> Side:
    return lambda n: seconds(lambda: workspace.write("file", (bare.chunk for _ in range(n))))


def _writing_small(workspace: LocalWorkspace) -> Side:
    def run(n: int) -> None:
        for _ in range(n):
            workspace.write("small", SMALL)

    return lambda n: seconds(lambda: run(n))


def _copying(workspace: LocalWorkspace, bare: BareFiles) -> Side:
    def run() -> None:
        with bare.source.open("rb") as source:
            workspace.write("file", source)

    def side(n: int) -> float:
        bare.make_source(n)
        return seconds(run)

    return side


def _reading(workspace: LocalWorkspace, bare: BareFiles) -> Side:
    def run() -> None:
        with workspace.open("read") as file:
            while file.read(MIB):
                pass

    def side(n: int) -> float:
        workspace.write("read", (bare.chunk for _ in range(n)))
        return seconds(run)

    return side


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject; a call is one MiB of one file, or one small file."""
    bare = BareFiles(folder)
    workspaces = LocalWorkspaces(folder / "workspaces")
    workspaces.open("deployment")
    limit = Quota(1024**3, 10_000)
    with (
        workspaces.lease("0" * 34, limit) as one,
        workspaces.lease("1" * 34, Quota(1024**3, 10_000, OwnerQuota("a" * 40, 1024**3))) as owned,
    ):
        yield [
            Case(GROUP, "write 64 MiB", _writing(one, bare), bare.write, "write and fsync", 64, AIM),
            Case(GROUP, "write 64 MiB, owner", _writing(owned, bare), bare.write, "write and fsync", 64, AIM),
            Case(GROUP, "copy 64 MiB", _copying(one, bare), bare.copy, "copy and fsync", 64, AIM),
            Case(GROUP, "read 64 MiB", _reading(one, bare), bare.read, "read", 64),
            Case(GROUP, "write 4 KiB", _writing_small(one), bare.write_small, "write and fsync", 20),
            Case(GROUP, "write 4 KiB, owner", _writing_small(owned), bare.write_small, "write and fsync", 20),
        ]
    bare.close()
