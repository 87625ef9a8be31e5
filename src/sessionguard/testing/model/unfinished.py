"""Unfinished files of the model of a place: unseen until closed."""

import errno
import io
import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sessionguard.testing.model.folders import ModelWorkspace


class UnfinishedFile(io.BufferedIOBase):
    """A file that appears under its name when it is closed."""

    def __init__(self, workspace: "ModelWorkspace", name: str, *, is_new: bool) -> None:
        self.workspace = workspace
        self.name = name
        self.must_be_new = is_new
        self.content = bytearray()

    @property
    def size(self) -> int:
        """Its bytes so far."""
        return len(self.content)

    def writable(self) -> bool:
        """Tell that it is for writing."""
        return True

    def write(self, data: Any, /) -> int:
        """Take all of `data`; what does not fit discards the file."""
        if self.closed:
            raise ValueError("this file is closed")
        with self.workspace.place.lock, memoryview(data) as view, view.cast("B") as octets:
            try:
                self.workspace.check()
                self.workspace.admit(self, self.name, self.size + len(octets))
            except BaseException:
                self.discard()
                raise
            self.content += octets
            return len(octets)

    def close(self) -> None:
        """Let it appear."""
        if self.closed or self not in self.workspace.folder.unfinished:
            return super().close()
        with self.workspace.place.lock:
            try:
                self.workspace.check()
                self.workspace.pass_fence()
                self.workspace.judge(self.name, is_new=self.must_be_new)
                self.workspace.admit(self, self.name, self.size)
                self.workspace.publish({self.name: bytes(self.content)})
            finally:
                self.discard()

    def discard(self) -> None:
        """Close without publishing."""
        self.workspace.folder.unfinished.discard(self)
        super().close()

    def abandon(self) -> None:
        """Close without publishing and without waiting."""
        self.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "workspace"):
            self.discard()


def exists(name: str) -> FileExistsError:
    """Give the error for a name that is taken."""
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def missing(name: str) -> FileNotFoundError:
    """Give the error for a file that is not there."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
