"""Text files over the unfinished files of any place."""

import io
from types import TracebackType
from typing import IO, Any, Protocol, Self, cast


class UnfinishedFile(Protocol):
    """A binary file that appears under its name when it is closed; an exception in its block discards it."""

    def write(self, data: Any, /) -> int:
        """Take all of `data`, and give its length in bytes."""

    def discard(self) -> None:
        """Close without publishing; what was written is gone. A finished file is left alone."""

    def abandon(self) -> None:
        """Close without publishing and without waiting for anything."""

    def __enter__(self) -> Self:
        """Give itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish, or discard after an exception."""


class TextWriter(io.TextIOWrapper):
    """Text over an unfinished file, with the same end: published by closing, discarded by an exception."""

    def __init__(self, file: UnfinishedFile, encoding: str, newline: str | None) -> None:
        super().__init__(cast("IO[bytes]", file), encoding=encoding, newline=newline)
        self._file = file

    def discard(self) -> None:
        """Close without publishing."""
        self._file.discard()

    def close(self) -> None:
        """Publish the file durably under its name; a second call does nothing."""
        try:
            super().close()
        except BaseException:
            self._file.discard()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.abandon()
