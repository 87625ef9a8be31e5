"""Write one file of a workspace: unseen until closed, whole or not at all, counted while bytes arrive."""

import errno
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from sessionguard.errors import LeaseLostError, MisuseError, WorkspaceError
from sessionguard.workspaces.local.leases import Lease
from sessionguard.workspaces.local.ledger import Ledger
from sessionguard.workspaces.local.pages import Page
from sessionguard.workspaces.local.reaches import FILES, reach
from sessionguard.workspaces.local.tree import FileTree, Parts
from sessionguard.workspaces.quota import Usage


class FileWriter(io.BufferedIOBase):
    """An unfinished file. Closing publishes it; an exception or `discard` leaves no trace.

    What is neither closed nor discarded is never published; the next writer of the workspace removes it.
    It may be written out of order (`seek`); a hole counts as bytes. Nothing is buffered here.
    """

    def __init__(
        self, lease: Lease, tree: FileTree, ledger: Ledger, parts: Parts, mode: str, expected_bytes: int
    ) -> None:
        self._lease = lease
        self._tree = tree
        self._ledger = ledger
        self._parts = parts
        self._must_be_new = mode.startswith("x")
        self._guard = threading.RLock()
        self._position = self._size = 0
        self._is_finished = True
        self._descriptor: int | None = None
        is_new = self._judge()
        self._temporary, self._descriptor = ledger.begin(Usage(expected_bytes, 1 if is_new else 0))
        lease.adopt(self._descriptor)
        self._reserved = expected_bytes
        self._is_finished = False

    @property
    def name(self) -> str:
        """The name it will have in the workspace."""
        return "/".join(self._parts)

    def writable(self) -> bool:
        """Tell that it is for writing."""
        return True

    def seekable(self) -> bool:
        """Tell that it may be written out of order."""
        return True

    def tell(self) -> int:
        """Give where the next byte goes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Set where the next byte goes, and give it. Nothing is claimed until it is written."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("a position is not negative")
        self._position = start + offset
        return self._position

    def write(self, data: Any, /) -> int:
        """Take all of `data` and give its length in bytes.

        Raises:
            QuotaExceededError: it does not fit; the whole file was discarded.
        """
        with self._writing() as descriptor, memoryview(data) as view, view.cast("B") as octets:
            self._make_room(self._position + len(octets))
            done = 0
            while done < len(octets):
                done += os.pwrite(descriptor, octets[done:], self._position + done)
            self._position += done
            self._size = max(self._size, self._position)
            return done

    def take_from(self, source: int, offset: int, count: int) -> int:
        """Copy up to `count` bytes at `offset` of the file `source` inside of the kernel; give how many, 0 at its end.

        Raises:
            QuotaExceededError: they do not fit; the whole file was discarded.
            OSError: the kernel cannot copy between these two; the file is as it was, unless it is closed.
        """
        with self._writing() as descriptor:
            count = min(count, max(0, os.fstat(source).st_size - offset))
            if count == 0:
                return 0
            self._make_room(self._position + count)
            try:
                done = os.copy_file_range(source, descriptor, count, offset, self._position)
            except OSError as error:
                refusal = error
            else:
                self._position += done
                self._size = max(self._size, self._position)
                return done
        if refusal.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            self.discard()
        raise refusal

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or extend to `size` bytes, the position unless given; the position stays."""
        with self._writing() as descriptor:
            wanted = self._position if size is None else size
            self._make_room(wanted)
            os.ftruncate(descriptor, wanted)
            self._size = wanted
            return wanted

    def close(self) -> None:
        """Publish the file durably under its name; a second call does nothing.

        Raises:
            QuotaExceededError, PathEscapeError, FileExistsError, LeaseLostError: it was discarded instead.
        """
        if self._lease.is_ours and not self.closed:
            with self._writing() as descriptor:
                self._publish(descriptor)
        # After success this only marks the object closed.
        self.discard()

    def discard(self) -> None:
        """Close without publishing; what was written is gone. A finished file is left alone."""
        # A forked child must not touch the parent's file, nor wait for a thread that exists only there.
        if self._lease.is_ours:
            with self._guard:
                self._abandon()
        if not self.closed:
            super().close()

    def _abandon(self) -> None:
        is_unpublished, self._is_finished = not self._is_finished, True
        try:
            if is_unpublished:
                # With the lease gone the file is left to whoever counts or removes next: its lock ends below.
                with suppress(MisuseError, OSError, WorkspaceError):
                    self._ledger.discard(self._temporary)
        finally:
            self._close_descriptor()

    def _publish(self, descriptor: int) -> None:
        reach("fsync", FILES, self._lease.session_id, "r")
        os.fsync(descriptor)
        directory: int | None = None
        try:
            with self._ledger.opened() as page:
                # Under the ledger, so that no two writers judge names or count files at the same time.
                self._lease.check()
                is_new = self._judge()
                self._ledger.admit_files(page, self._temporary, 1 if is_new else 0)
                with self._tree.parent(self._parts, create=True) as parent:
                    directory = os.dup(parent)
                page.announce(self._temporary)
                self._rename(directory, page)
                page.book.settle(self._temporary, Usage(self._size, 1 if is_new else 0))
        except LeaseLostError:
            # Told after the renaming, it is about the book alone: whoever took the place of this process counts anew.
            if not self._is_finished:
                raise
        finally:
            if directory is not None:
                self._flush(directory)

    def _flush(self, directory: int) -> None:
        try:
            if self._is_finished:
                reach("fsync the folder", FILES, self._lease.session_id, "r")
                # Outside the ledger: this is the slow part, and the order of two publications is decided.
                os.fsync(directory)
        finally:
            os.close(directory)

    def _judge(self) -> bool:
        """Tell whether the name is new now; what was true at the opening may have changed."""
        is_new = self._tree.check_free(self._parts)
        if self._must_be_new and not is_new:
            raise self._exists()
        return is_new

    def _rename(self, directory: int, page: Page) -> None:
        """Give the file its name in `directory`."""
        reach("rename", FILES, self._lease.session_id, "w")
        try:
            # Rename last: a reader sees the old file or the whole new one, never half.
            os.rename(self._temporary, self._parts[-1], src_dir_fd=self._lease.private_descriptor, dst_dir_fd=directory)
        except FileNotFoundError:
            # Removed by whoever took the place of this process.
            page.check()
            raise
        self._is_finished = True

    def _make_room(self, extent: int) -> None:
        if extent > self._reserved:
            self._reserved += self._ledger.reserve(self._temporary, extent - self._reserved)

    @contextmanager
    def _writing(self) -> Iterator[int]:
        """Give the descriptor; whatever goes wrong in the block discards the file."""
        if not self._lease.is_ours:
            raise MisuseError("this file was opened before a fork; write it in the process that opened it")
        with self._guard:
            if self.closed or self._descriptor is None:
                raise ValueError("this file is closed")
            try:
                yield self._descriptor
            except BaseException:
                # Part of it may be missing now, so this file must never be published.
                self.discard()
                raise

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._lease.disown(descriptor)
            os.close(descriptor)

    def _exists(self) -> FileExistsError:
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def abandon(self) -> None:
        """Close without publishing and without waiting for anything; the next writer removes what was written."""
        self._is_finished = True
        if self._lease.is_ours:
            self._ledger.expect_leftovers()
            self._close_descriptor()
        if not self.closed:
            super().close()

    def __del__(self) -> None:
        # IOBase would close, and so publish, a file whose writer was forgotten half-way. Nor may it be discarded
        # here: the collector may run in the middle of a call of this very thread that holds the ledger.
        if hasattr(self, "_descriptor"):
            self.abandon()
