"""Write one file of a workspace: unseen until closed, whole or not at all, counted while bytes arrive."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from sessionguard.errors import MisuseError, SessionGuardError, WorkspaceUnavailableError
from sessionguard.workspaces.quota import Usage
from sessionguard.workspaces.s3.ledger import Ledger
from sessionguard.workspaces.s3.manifest import Entry
from sessionguard.workspaces.s3.room import Room
from sessionguard.workspaces.s3.uploading import Uploading


class FileWriter(io.BufferedIOBase):
    """An unfinished file. Closing publishes it; an exception or `discard` leaves no trace.

    What is neither closed nor discarded is never published, and removed when it is old enough. It is written from its
    beginning to its end: object storage knows no other order.
    """

    def __init__(self, ledger: Ledger, name: str, mode: str, expected_bytes: int) -> None:
        self.name = name
        """The name it will have in the workspace."""
        self._ledger = ledger
        self._replace = not mode.startswith("x")
        self._guard = threading.RLock()
        self._pid = os.getpid()
        self._is_finished = True
        self._claim = ledger.begin([name], Usage(expected_bytes, 0), replace=self._replace)
        self._room = Room(ledger, self._claim, Usage(expected_bytes, 0))
        self._uploading = Uploading(ledger.bucket, ledger.key_of(self._claim))
        self._is_finished = False

    def writable(self) -> bool:
        """Tell that it is for writing."""
        return True

    def tell(self) -> int:
        """Give where the next byte goes."""
        return self._uploading.bytes

    def write(self, data: Any, /) -> int:
        """Take all of `data` and give its length in bytes.

        Raises:
            QuotaExceededError: it does not fit; the whole file was discarded.
            WorkspaceUnavailableError: it could not be stored; the whole file was discarded.
        """
        with self._writing(), memoryview(data) as view, view.cast("B") as octets:
            if len(octets):
                self._room.make(Usage(self._uploading.bytes + len(octets), 0))
                self._uploading.write(octets)
            return len(octets)

    def close(self) -> None:
        """Publish the file durably under its name; a second call does nothing.

        Raises:
            QuotaExceededError, PathEscapeError, FileExistsError, LeaseLostError: it was discarded instead.
            WorkspaceUnavailableError: it was published whole, or not at all.
        """
        if self._is_ours and not self.closed:
            with self._writing():
                self._publish()
        # After success this only marks the object closed.
        self.discard()

    def discard(self) -> None:
        """Close without publishing; what was written is gone. A finished file is left alone."""
        # A forked child must not touch the parent's file, nor wait for a thread that exists only there.
        if self._is_ours:
            with self._guard:
                is_unpublished, self._is_finished = not self._is_finished, True
                if is_unpublished:
                    self._uploading.discard()
                    # Out of reach, it lapses.
                    with suppress(SessionGuardError):
                        self._ledger.drop(self._claim)
        if not self.closed:
            super().close()

    def abandon(self) -> None:
        """Close without publishing and without waiting for anything; what was stored is removed by its age."""
        self._is_finished = True
        if self._is_ours:
            self._uploading.forget()
            self._ledger.forget(self._claim)
        if not self.closed:
            super().close()

    def _publish(self) -> None:
        self._uploading.finish()
        files = {self.name: Entry(self._claim, self._uploading.bytes)}
        # From here on it may be visible, whatever interrupts us, and then its content must stay. If it is not, its age
        # removes it.
        self._is_finished = True
        try:
            self._ledger.publish(self._claim, files, replace=self._replace)
        except WorkspaceUnavailableError:
            raise
        except (SessionGuardError, FileExistsError):
            # This was refused, so it is not visible.
            self._is_finished = False
            raise

    @property
    def _is_ours(self) -> bool:
        return os.getpid() == self._pid

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let the block write; whatever goes wrong in it discards the file."""
        if not self._is_ours:
            raise MisuseError("this file was opened before a fork; write it in the process that opened it")
        with self._guard:
            if self.closed or self._is_finished:
                raise ValueError("this file is closed")
            # Whatever goes wrong, part of it may be missing then, so this file must never be published.
            try:
                yield
            except WorkspaceUnavailableError:
                # Asking for its removal would wait as long again; its age removes it.
                self.abandon()
                raise
            except BaseException:
                self.discard()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        # IOBase would close, and so publish, a file whose writer was forgotten half-way.
        if hasattr(self, "_uploading") and not self.closed:
            self.abandon()
