"""What a place for files must be able to do: one workspace while it is leased, and all workspaces of a deployment.

The local disk is one such place, object storage another. Whoever holds a workspace uses it alike on both.
"""

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self, runtime_checkable

from attrs import frozen

from sessionguard.core.commands import Fence
from sessionguard.core.findings import Finding
from sessionguard.workspaces.limits import ARCHIVE_LIMITS, ArchiveLimits, Exported
from sessionguard.workspaces.links import DEFAULT_LINK
from sessionguard.workspaces.quota import NOTHING, Quota, Usage


@frozen
class Removal:
    """What a removal did: how many files and bytes are gone, or that they go when their lease does."""

    files: int
    bytes: int
    deferred: bool


class Workspace(Protocol):
    """The private files of one session; they are not removed before this is closed.

    Threads may share it. A forked child may not use it. Names are those of `parse_name`: refused with
    PathEscapeError where they are not on the allow-list or do not name a plain file inside.
    """

    @property
    def session_id(self) -> str:
        """Whose files these are."""

    @property
    def path(self) -> Path:
        """The directory of the files, for programs that need one; what they put there is outside quota and checks.

        Raises:
            MisuseError: they are not in a directory.
        """

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> IO[Any]:
        """Open a file: "rb", "r", "wb", "w", "xb" or "x"; text is UTF-8 unless said otherwise.

        What is written appears under its name, whole and durable, when the file is closed. An exception
        in its `with` block, closing the workspace first, or a crash leaves what was there before.

        Raises:
            FileNotFoundError: there is no such file to read.
            FileExistsError: there is one already ("x"), now or when it is closed.
            QuotaExceededError: the quota is used up, here or while writing; the file is discarded.
            LockLostError: leased under a lock that another has taken since; the file is discarded.
        """

    def read(self, name: str) -> bytes:
        """Give all bytes of a file.

        Raises:
            FileNotFoundError: there is none.
        """

    def write(self, name: str, data: bytes | str | Iterable[bytes]) -> int:
        """Make or replace a file with `data`, text as UTF-8, and give its length in bytes.

        Chunks, and a file that is open for reading in binary, are taken piece by piece.

        Raises:
            QuotaExceededError: it does not fit; what was there before is still there.
        """

    def write_all(
        self,
        files: Iterable[tuple[str, bytes | str | Iterable[bytes]]],
        *,
        expected: Usage = NOTHING,
        replace: bool = True,
    ) -> list[str]:
        """Make or replace many files so that all appear or, whatever fails, none; give their sorted names.

        They are taken one after the other, and get their names together at the end. Whoever reads meanwhile may see
        some before the others. After a crash in that moment the next lease of the workspace finds all of them, as
        does, in leases that are held, whatever is written next. What is `expected` is claimed at the beginning.

        Raises:
            FileExistsError: one is there already, and not `replace`.
            PathEscapeError: two of the names are the same, or differ only in case or form, or in place of a directory.
            QuotaExceededError: they do not fit.
            LockLostError: leased under a lock that another has taken since.
        """

    def import_zip(
        self,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        into: str = "",
        limits: ArchiveLimits = ARCHIVE_LIMITS,
        replace: bool = False,
    ) -> list[str]:
        """Unpack the zip archive in a path, or in a seekable binary file, below the directory `into`.

        All of its files appear, as by `write_all`, or none; their sorted names are given. It is judged by its directory
        before a byte is unpacked, and what comes out is counted and checked against what it said.

        Raises:
            ArchiveRefusedError: it is damaged, holds what may not be in a workspace, or is beyond `limits`.
            FileExistsError: a file has a name already, and not `replace`.
            PathEscapeError: `into` cannot be a name, or a name collides with that of another file.
            QuotaExceededError: its files do not fit.
        """

    def list(self) -> list[str]:
        """Give the sorted names of all files that `open` would give, nested ones as "a/b.csv"."""

    def usage(self) -> Usage:
        """Count all files now."""

    def delete(self, name: str) -> bool:
        """Remove a file; False if there was none."""

    def export_zip(self, target: str | os.PathLike[str] | IO[bytes]) -> Exported:
        """Write all files as a zip archive to a path, or to a binary file that is only written to.

        The same files give the same bytes: sorted by name, without times. Memory grows with the number of files, not
        with their size. A path gets the whole archive, mode 0600, or keeps what it had. What an error left in a binary
        file has no end and is no archive.

        Raises:
            OSError: it cannot be written, or a file cannot be read.
        """

    def download_url(
        self,
        name: str,
        *,
        expires: timedelta = DEFAULT_LINK,
        filename: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Give a link by which whoever has it may fetch this file, as it is now, until it expires.

        A browser saves it under `filename`, the last component of its name unless given. Nothing takes a link back: it
        outlives a logout, and only the end of the session removes the file from under it.

        Raises:
            FileNotFoundError: there is no such file.
            InvalidArgumentError: `expires` is above `MAX_LINK`, or a header could not be sent.
            MisuseError: the files are where no link leads to.
        """

    def close(self) -> None:
        """Discard unfinished files and release the lease; a removal that waited for the last lease is done."""

    def __enter__(self) -> Self:
        """Give itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""


@runtime_checkable
class ExaminedWorkspaces(Protocol):
    """A place for files that can examine itself."""

    def examine(self) -> list[Finding]:
        """Say what is wrong with it, if anything, and what to do about it."""


@runtime_checkable
class SettledWorkspaces(Protocol):
    """A place for files that knows for whom it was ever opened, so that a mistyped one is noticed (optional)."""

    def is_home_of(self, deployment_id: str) -> bool:
        """Tell whether workspaces of this deployment were ever opened here."""


@runtime_checkable
class InspectedWorkspaces(Protocol):
    """Workspaces that can be looked at before anything is removed (optional)."""

    def is_young(self, session_id: str, age: timedelta, at: datetime | None) -> bool:
        """Tell whether the files of a session changed within `age` before `at`; None: before now, by the host's clock.

        By the times of the files and directories themselves; in the future is young. False if there are none, or if
        their removal was asked for. In a place without this method everything is young: files of which the store
        knows no session are left alone.
        """

    def measure(self, session_id: str) -> Removal:
        """Tell what `remove` would do now, and remove nothing."""

    def leftovers(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give the sessions that `candidates` would give now, and change nothing: the next call begins there as well.

        Raises:
            MisuseError: as `candidates`.
        """


@runtime_checkable
class NamedWorkspaces(Protocol):
    """Workspaces that can tell which place they are in (optional), so that of many who have it one looks for garbage.

    In a place without this method every guard does, which is safe and costs as much as there are processes.
    """

    def place_id(self) -> str | None:
        """Name the place that is open; None: it cannot tell now.

        In case of doubt a name of one's own is right: two names for one place cost a second look, one name for two
        places lets the files in one of them lie for ever.
        """


@runtime_checkable
class Workspaces(Protocol):
    """The workspaces of all sessions of one deployment. Threads and processes may share what they are kept in.

    A place that machines share cannot tell by itself who uses what: it sets `leases_in_store = True`. Then a guard
    holds a lease in the store while a workspace is open, and does not call `remove` while anybody holds one.
    """

    def open(self, deployment_id: str) -> None:
        """Work in a part of this deployment's own, made if absent; opened again for another one, leave the former.

        Raises:
            ConfigurationError: the place cannot be used, or not be trusted.
        """

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> Workspace:
        """Give the workspace of a session, made on first use; it is not removed before it is closed.

        Whether the session is still active is for the caller to check, after this call: what was already removed is
        made anew, empty. With a `fence`, all who come with a number below its `lowest` are refused from now on.

        Raises:
            LeaseLostError: it is being removed, or will be when its other leases end. Whoever comes with the fence of
                a hold, which is named `LEASE`, is one of these others, and gets it until then.
            LockLostError: someone with a higher fence has been here.
            LeaseLostError: so has someone since the lease of the `fence` had lapsed.
        """

    def remove(self, session_id: str) -> Removal:
        """Remove the workspace of a session and all in it, at once or, while in use, when its last lease ends.

        Nothing of other sessions is touched. Without one: no files, no bytes, not deferred.
        """

    def quarantine(self, session_id: str) -> bool:
        """Put the workspace of a session that the store has lost out of everyone's reach, kept for a person to look at.

        False if it is in use, which leaves it where it is, or if there is nothing to keep: no file, or the session was
        ended and not lost. `candidates` removes what was kept after thirty days.
        """

    def candidates(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give up to `limit` sessions whose files may be garbage, and finish interrupted removals.

        Those waiting for removal come first, then existing workspaces, each call going on where the last stopped. The
        caller asks the store which are still active and removes the rest.

        Raises:
            MisuseError: a `deployment_id` was given, and it is not the one that these workspaces are open for.
        """


def lacking_calls(place: object) -> list[str]:
    """Name the calls of `Workspaces` that `place` does not have."""
    return [name for name in vars(Workspaces) if not name.startswith("_") and not hasattr(place, name)]
