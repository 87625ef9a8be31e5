"""Workspaces for asyncio: every call runs in a thread, and ends before a cancellation goes on."""

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from operator import methodcaller
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from sessionguard.core.commands import Fence
from sessionguard.offloading import in_thread
from sessionguard.workspaces.async_files import AsyncData, Opening, awaited_pieces
from sessionguard.workspaces.contract import Removal, Workspace, Workspaces
from sessionguard.workspaces.limits import ARCHIVE_LIMITS, ArchiveLimits, Exported
from sessionguard.workspaces.links import DEFAULT_LINK
from sessionguard.workspaces.quota import NOTHING, Quota, Usage


class AsyncWorkspace:
    """The private directory of one session for asyncio; the same rules and names as `Workspace`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @classmethod
    async def lease(cls, workspaces: Workspaces, session_id: str, quota: Quota, fence: Fence | None = None) -> Self:
        """Give the workspace of a session, made on first use; it is not removed before it is closed.

        Raises:
            LeaseLostError: it is being removed, or will be when its other leases end.
            LockLostError: someone with a higher fence has been here.
        """
        call = partial(workspaces.lease, session_id, quota, fence)
        return cls(await in_thread(call, undo=methodcaller("close")))

    @property
    def session_id(self) -> str:
        """Whose files these are."""
        return self._workspace.session_id

    @property
    def path(self) -> Path:
        """The directory of the files, for programs that need one; what they put there is outside quota and checks."""
        return self._workspace.path

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> Opening:
        """Open a file: "rb", "r", "wb", "w", "xb" or "x"; text is UTF-8 unless said otherwise.

        Use it as `async with workspace.open(name) as file`; awaited alone, it gives the `AsyncFile` for you to close.
        """
        return Opening(partial(self._workspace.open, name, mode, encoding=encoding, newline=newline))

    async def read(self, name: str) -> bytes:
        """Give all bytes of a file."""
        return await in_thread(partial(self._workspace.read, name))

    async def write(self, name: str, data: bytes | str | Iterable[bytes] | AsyncData) -> int:
        """Make or replace a file with `data`, text as UTF-8, and give its length in bytes.

        Chunks that are awaited, such as the stream of a request, and an upload whose `read` is awaited are taken piece
        by piece, each when it has arrived. What ends early by an exception leaves what was there before.
        """
        pieces = awaited_pieces(data)
        if pieces is None:
            return await in_thread(partial(self._workspace.write, name, cast("Iterable[bytes]", data)))
        written = 0
        async with self.open(name, "wb") as file:
            async for piece in pieces:
                written += await file.write(piece)
        return written

    async def write_all(
        self,
        files: Iterable[tuple[str, bytes | str | Iterable[bytes]]],
        *,
        expected: Usage = NOTHING,
        replace: bool = True,
    ) -> list[str]:
        """Make or replace many files so that all appear or, whatever fails, none; give their sorted names."""
        call = partial(self._workspace.write_all, files, expected=expected, replace=replace)
        return await in_thread(call)

    async def import_zip(
        self,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        into: str = "",
        limits: ArchiveLimits = ARCHIVE_LIMITS,
        replace: bool = False,
    ) -> list[str]:
        """Unpack the zip archive in a path, or in a seekable binary file, below the directory `into`."""
        call = partial(self._workspace.import_zip, source, into=into, limits=limits, replace=replace)
        return await in_thread(call)

    async def list(self) -> list[str]:
        """Give the sorted names of all files that `open` would give, nested ones as "a/b.csv"."""
        return await in_thread(self._workspace.list)

    async def usage(self) -> Usage:
        """Count all files now, also those that other programs put under `path`."""
        return await in_thread(self._workspace.usage)

    async def delete(self, name: str) -> bool:
        """Remove a file, and directories left empty by it; False if there was none."""
        return await in_thread(partial(self._workspace.delete, name))

    async def export_zip(self, target: str | os.PathLike[str] | IO[bytes]) -> Exported:
        """Write all files as a zip archive to a path, or to a binary file that is only written to."""
        return await in_thread(partial(self._workspace.export_zip, target))

    async def download_url(
        self,
        name: str,
        *,
        expires: timedelta = DEFAULT_LINK,
        filename: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Give a link by which whoever has it may fetch this file, as it is now, until it expires.

        Raises:
            MisuseError: the files are where no link leads to.
        """
        give = self._workspace.download_url
        return await in_thread(partial(give, name, expires=expires, filename=filename, content_type=content_type))

    async def close(self) -> None:
        """Discard unfinished files and release the lease; a removal that waited for the last lease is done."""
        await in_thread(self._workspace.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncWorkspace of session {self.session_id}>"


class OffloadedWorkspaces:
    """All workspaces of a deployment for asyncio: the calls of `blocking`, awaitable, each in a thread."""

    def __init__(self, blocking: Workspaces) -> None:
        self._blocking = blocking
        self.leases_in_store: bool = getattr(blocking, "leases_in_store", False)

    async def open(self, deployment_id: str) -> None:
        """Work below the root in a part of this deployment's own."""
        await in_thread(partial(self._blocking.open, deployment_id))

    async def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> AsyncWorkspace:
        """Give the workspace of a session, made on first use; it is not removed before it is closed."""
        return await AsyncWorkspace.lease(self._blocking, session_id, quota, fence)

    async def remove(self, session_id: str) -> Removal:
        """Remove the workspace of a session, at once or when its last lease ends."""
        return await in_thread(partial(self._blocking.remove, session_id))

    async def quarantine(self, session_id: str) -> bool:
        """Put the workspace of a session that the store has lost out of everyone's reach."""
        return await in_thread(partial(self._blocking.quarantine, session_id))

    async def is_young(self, session_id: str, age: timedelta, at: datetime | None) -> bool:
        """Tell whether the files of a session changed within `age` before `at`."""
        # What cannot be told is left alone.
        is_young = getattr(self._blocking, "is_young", None)
        return is_young is None or await in_thread(partial(is_young, session_id, age, at))

    async def measure(self, session_id: str) -> Removal | None:
        """Tell what `remove` would do now, and remove nothing; None: that cannot be told."""
        measure = getattr(self._blocking, "measure", None)
        return None if measure is None else await in_thread(partial(measure, session_id))

    async def leftovers(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give the sessions that `candidates` would give now, and change nothing; none: that cannot be told."""
        leftovers = getattr(self._blocking, "leftovers", None)
        return [] if leftovers is None else await in_thread(partial(leftovers, limit, deployment_id))

    async def place_id(self) -> str | None:
        """Name the place; None: it cannot tell."""
        place_id = getattr(self._blocking, "place_id", None)
        return None if place_id is None else await in_thread(place_id)

    async def candidates(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give up to `limit` sessions whose directories may be garbage."""
        return await in_thread(partial(self._blocking.candidates, limit, deployment_id))
