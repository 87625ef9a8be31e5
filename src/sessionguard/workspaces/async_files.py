"""Files of a workspace for asyncio: opened, read and written in threads, and filled from what arrives awaited."""

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable
from functools import partial
from types import TracebackType
from typing import IO, Any, Final, Protocol, Self, TypeAlias, cast

from sessionguard.offloading import in_thread
from sessionguard.workspaces.calls import CHUNK_BYTES

_PIECE_BYTES: Final = 256 * 1024


class AsyncSource(Protocol):
    """What is read in pieces that are awaited, as the uploads of ASGI frameworks are."""

    async def read(self, size: int = -1, /) -> bytes:
        """Give up to `size` bytes, none at the end."""


AsyncData: TypeAlias = AsyncIterable[bytes] | AsyncSource
"""What a file is filled from while it arrives."""


class AsyncFile:
    """A file of a workspace with awaitable calls; the same rules as the blocking one."""

    def __init__(self, file: IO[Any]) -> None:
        self._file = file

    async def read(self, size: int = -1) -> Any:
        """Give up to `size` bytes or characters, all of them unless given; empty at the end."""
        return await in_thread(partial(self._file.read, size))

    async def pieces(self, size: int = _PIECE_BYTES) -> AsyncIterator[Any]:
        """Give the rest in pieces of up to `size` bytes or characters, as the body of a response takes them."""
        while piece := await self.read(size):
            yield piece

    async def write(self, data: Any) -> int:
        """Take all of `data` and give its length.

        Raises:
            QuotaExceededError: it does not fit; the whole file was discarded.
        """
        return await in_thread(partial(self._file.write, data))

    async def close(self) -> None:
        """Close it; a written file is published, durably, when this returns."""
        await in_thread(self._file.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await in_thread(partial(self._file.__exit__, kind, error, trace))


class Opening:
    """A file that is opened when this is awaited, or at the beginning of an `async with` block that closes it."""

    def __init__(self, call: Callable[[], IO[Any]]) -> None:
        self._call = call
        self._file: AsyncFile | None = None

    def __await__(self) -> Generator[Any, None, AsyncFile]:
        return self._opened().__await__()

    async def _opened(self) -> AsyncFile:
        return AsyncFile(await in_thread(self._call, undo=_abandon))

    async def __aenter__(self) -> AsyncFile:
        self._file = await self._opened()
        return self._file

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            await self._file.__aexit__(kind, error, trace)


def awaited_pieces(data: bytes | str | Iterable[bytes] | AsyncData) -> AsyncIterable[bytes] | None:
    """Give the pieces of what has to be awaited: a stream of a request, an upload; None if nothing has to be."""
    if inspect.iscoroutinefunction(getattr(data, "read", None)):
        return _read_in_pieces(cast("AsyncSource", data))
    return data if isinstance(data, AsyncIterable) else None


async def _read_in_pieces(source: AsyncSource) -> AsyncIterator[bytes]:
    while piece := await source.read(CHUNK_BYTES):
        yield piece


def _abandon(file: IO[Any]) -> None:
    getattr(file, "discard", file.close)()
