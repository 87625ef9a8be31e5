"""What every workspace does alike, whatever its place: modes, texts, pieces and archives.

A place says how it opens a file for reading, and how it begins one, or many that appear together; all in binary.
"""

import io
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import IO, Any, Final, Protocol, Self, TypeGuard, cast

from typing_extensions import Buffer

from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.workspaces.contract import Workspace
from sessionguard.workspaces.limits import ARCHIVE_LIMITS, ArchiveLimits, Exported
from sessionguard.workspaces.links import DEFAULT_LINK
from sessionguard.workspaces.names import parse_name
from sessionguard.workspaces.quota import NOTHING, Usage
from sessionguard.workspaces.texts import TextWriter, UnfinishedFile

CHUNK_BYTES: Final = 1024 * 1024

# The binary mode of each, and whether text goes over it.
_MODES: Final = {
    **{kind + "b": (kind + "b", False) for kind in "rwx"},
    **{kind + suffix: (kind + "b", True) for kind in "rwx" for suffix in ("", "t")},
}


class Source(Protocol):
    """What can be read in pieces, as a file that was opened "rb"."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes, none at the end."""


def is_source(data: object) -> TypeGuard[Source]:
    """Tell whether `data` is read rather than iterated over."""
    # Not by isinstance: from Python 3.12 on that does not see what is passed on by __getattr__, as the uploads of
    # Werkzeug and named temporary files do.
    return callable(getattr(data, "read", None))


class UnfinishedFiles(Protocol):
    """Files that appear together, and not before."""

    def add(self, parts: tuple[str, ...], chunks: Iterable[Any]) -> None:
        """Take one more file, whole when this returns, and still unseen."""

    def publish(self) -> list[str]:
        """Let all files appear, durably, and give their sorted names."""

    def __enter__(self) -> Self:
        """Give itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Discard what was not published."""


class WorkspaceCalls(Workspace):
    """The calls of a workspace that are made of others; the contract says what each does."""

    @abstractmethod
    def _opened(self, name: str) -> IO[bytes]:
        """Open a file for reading; FileNotFoundError if there is none."""

    @abstractmethod
    def _begun(self, name: str, kind: str, expected_bytes: int) -> UnfinishedFile:
        """Begin a file, "wb" or "xb"; the room expected is claimed at once."""

    @abstractmethod
    def _begun_together(self, expected: Usage, *, replace: bool) -> UnfinishedFiles:
        """Begin files that appear together; the room expected is claimed at once."""

    def _filled(self, writer: UnfinishedFile, source: Source) -> int:
        """Write all that `source` gives to its end, and give the number of bytes."""
        return sum(writer.write(chunk) for chunk in _chunks_of(source))

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> IO[Any]:
        if mode not in _MODES:
            raise InvalidArgumentError("mode", mode, 'use "rb", "r", "wb", "w", "xb" or "x"')
        kind, is_text = _MODES[mode]
        if is_text:
            # First, and over nothing: an unknown encoding leaves no file open and no room claimed.
            io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline=newline)
        if kind == "rb":
            file: IO[Any] = self._opened(name)
            return io.TextIOWrapper(file, encoding=encoding, newline=newline) if is_text else file
        writer = self._begun(name, kind, 0)
        return TextWriter(writer, encoding, newline) if is_text else cast("IO[Any]", writer)

    def read(self, name: str) -> bytes:
        with self._opened(name) as file:
            return file.read()

    def write(self, name: str, data: bytes | str | Iterable[bytes]) -> int:
        chunks = _chunks(data)
        # What is in memory already gets its room at once, or is refused before a byte is written.
        expected = sum(memoryview(chunk).nbytes for chunk in chunks) if isinstance(chunks, tuple) else 0
        with self._begun(name, "wb", expected) as writer:
            if is_source(data):
                return self._filled(writer, data)
            return sum(writer.write(chunk) for chunk in chunks)

    def write_all(
        self,
        files: Iterable[tuple[str, bytes | str | Iterable[bytes]]],
        *,
        expected: Usage = NOTHING,
        replace: bool = True,
    ) -> list[str]:
        with self._begun_together(expected, replace=replace) as bundle:
            for name, data in _pairs(files):
                bundle.add(parse_name(self.session_id, name), _chunks(data))
            return bundle.publish()

    # Archives are imported here, because they load much.

    def import_zip(
        self,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        into: str = "",
        limits: ArchiveLimits = ARCHIVE_LIMITS,
        replace: bool = False,
    ) -> list[str]:
        from sessionguard.workspaces.archives import import_zip

        return import_zip(self, source, into=into, limits=limits, replace=replace)

    def export_zip(self, target: str | os.PathLike[str] | IO[bytes]) -> Exported:
        from sessionguard.workspaces.archives import export_zip

        return export_zip(self, target)

    def download_url(
        self,
        name: str,
        *,
        expires: timedelta = DEFAULT_LINK,
        filename: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        raise MisuseError(
            "only files in object storage have links; send this one yourself, as a body that is read piece by piece "
            "from workspace.open(name): that works with every place"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _pairs(files: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for pair in files:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InvalidArgumentError("files", pair, "give pairs of a name and its data; of a dict, its items()")
        yield pair


def _chunks(data: bytes | str | Iterable[bytes]) -> Iterable[Any]:
    if isinstance(data, str):
        data = data.encode("utf-8")
    if isinstance(data, bytes | bytearray | memoryview):
        return (data,)
    if is_source(data):
        return _chunks_of(data)
    if not isinstance(data, Iterable):
        raise InvalidArgumentError("data", data, "give bytes, text, chunks of bytes, or a file that is open in binary")
    return map(_octets, data)


def _chunks_of(source: Source) -> Iterator[Any]:
    # Not by its lines, which is what iterating over a file gives: one may be as long as the file.
    while chunk := source.read(CHUNK_BYTES):
        yield _octets(chunk)


def _octets(chunk: Any) -> Any:
    if isinstance(chunk, Buffer):
        return chunk
    raise InvalidArgumentError("data", type(chunk), "it gives no bytes; open a file in binary, and encode text")
