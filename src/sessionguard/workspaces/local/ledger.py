"""Keep the book of a workspace on disk, one writer at a time across threads and processes."""

import os
import random
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sessionguard import booting
from sessionguard.core.commands import Fence
from sessionguard.core.leases import lost
from sessionguard.errors import PathEscapeError, QuotaExceededError, WorkspaceError
from sessionguard.workspaces.local.book import STEP_BYTES, Book, Claim
from sessionguard.workspaces.local.descriptors import (
    FILE_MODE,
    is_still_named,
    look,
    make_directory,
    make_file,
    names_in,
    open_for_reading,
)
from sessionguard.workspaces.local.layout import LEDGER, MANY_PREFIX, PUBLISHING_PREFIX, TEMPORARY_PREFIX
from sessionguard.workspaces.local.leases import Lease
from sessionguard.workspaces.local.publishing import finish
from sessionguard.workspaces.local.reaches import BOOKS, FILES, reach, taken
from sessionguard.workspaces.local.tree import FileTree
from sessionguard.workspaces.quota import Quota, Usage

# The longest holder recounts a large tree; one that was stopped must not stop all others for ever.
_PATIENCE_SECONDS = 30.0
_LARGEST_BOOK_BYTES = 16 * 1024 * 1024


class Ledger:
    """The shared account of one workspace, seen through one lease with its quota, and under a lock with its fence."""

    def __init__(self, lease: Lease, tree: FileTree, quota: Quota, fence: Fence | None = None) -> None:
        self._lease = lease
        self._tree = tree
        self._quota = quota
        self._fence = fence
        self._has_looked_for_leftovers = False

    @contextmanager
    def opened(self) -> Iterator[Book]:
        """Give the book for changing; nobody else changes it, or publishes or deletes a file, meanwhile.

        Raises:
            WorkspaceError: another process kept it for too long; nothing was done.
            LockLostError: someone who took the lock later has been here.
            LeaseLostError: so has someone who held the session after its lease had lapsed.
        """
        with self._entered() as book:
            if self._fence is not None and not book.pass_fence(self._fence):
                raise lost(self._lease.session_id, self._fence)
            yield book

    @contextmanager
    def _entered(self) -> Iterator[Book]:
        session_id = self._lease.session_id
        with self._lease.using(), taken(BOOKS, session_id), self._locked() as descriptor:
            before = os.pread(descriptor, _LARGEST_BOOK_BYTES, 0)
            book = Book.read(before, booting.this_boot().hex())
            if book is None:
                self.finish_publications()
                book = Book(booting.this_boot().hex())
                self.recount(book)
            elif book.has_bundles and self.finish_publications():
                self.recount(book)
            try:
                yield book
            finally:
                text = book.text()
                if text != before:
                    reach("write the book", BOOKS, session_id, "w")
                    # One write, then the cut: whoever is killed between them leaves a whole first line.
                    os.pwrite(descriptor, text, 0)
                    os.ftruncate(descriptor, len(text))

    def heal(self) -> None:
        """Finish what a crash interrupted between two files that were to appear together; waits for whoever is at it.

        Raises:
            WorkspaceError: another process kept the ledger for too long.
        """
        if any(name.startswith(PUBLISHING_PREFIX) for name in names_in(self._lease.private_descriptor)):
            with self._entered():
                pass

    def finish_publications(self) -> bool:
        """Give files their names whose writer died while doing so, under the ledger; tell whether there were any."""
        # Whoever does so keeps the ledger until all have their names: nobody who lives is found here.
        found = [name for name in names_in(self._lease.private_descriptor) if name.startswith(PUBLISHING_PREFIX)]
        for name in found:
            finish(self._lease, name)
        return bool(found)

    def begin(self, expected: Usage, *, many: bool = False) -> tuple[str, int]:
        """Claim `expected` and give the name and descriptor of a new unfinished file; close the descriptor.

        With `many` it is a folder for the files that are to appear together.

        Raises:
            QuotaExceededError: it does not fit; nothing was made.
        """
        name = (MANY_PREFIX if many else TEMPORARY_PREFIX) + secrets.token_hex(12)
        made: list[int] = []
        try:
            with self.opened() as book:
                self._lease.check()
                self._clear_leftovers_once(book)
                self._admit(book, expected)
                book.claim(name, expected)
                made.append(self._make_unfinished(name, many))
        except BaseException:
            # The book was not kept, and a file that nobody writes must not look alive.
            self._unlink(name)
            for descriptor in made:
                os.close(descriptor)
            raise
        return name, made[0]

    def reserve(self, name: str, need_bytes: int) -> int:
        """Claim at least `need_bytes` more for the unfinished file `name`, and say how many.

        Raises:
            QuotaExceededError: they do not fit, not even after a recount.
        """
        with self.opened() as book:
            self._admit(book, Usage(need_bytes, 0))
            granted = book.step(self._quota, need_bytes)
            book.claim(name, Usage(granted, 0))
            return granted

    def admit_files(self, book: Book, name: str, count: int) -> None:
        """Have the claim `name` cover so many new files.

        Raises:
            QuotaExceededError: there are as many files as the quota allows.
        """
        lacking = count - book.claims.get(name, Claim(0, 0)).files
        if lacking > 0:
            self._admit(book, Usage(0, lacking))
            book.claim(name, Usage(0, lacking))

    def discard(self, name: str) -> None:
        """Remove the unfinished file `name` and its claim."""
        # Whoever lost the lock may do this, too.
        with self._entered() as book:
            self._unlink(name)
            book.drop(name)

    def expect_leftovers(self) -> None:
        """Have the next `begin` remove the unfinished files that nobody writes any more. Waits for nothing."""
        self._has_looked_for_leftovers = False

    def count(self) -> Usage:
        """Give what the workspace holds, whoever put it there; unfinished writes are not counted."""
        with self._entered() as book:
            self.recount(book)
            return Usage(book.held_bytes, book.held_files)

    def recount(self, book: Book) -> None:
        """Make the book say what is there; unfinished files of dead writers are removed with their claims."""
        sizes = [found.st_size for _, found in self._tree.files() if not stat.S_ISDIR(found.st_mode)]
        alive = self._claims_of_the_living(book)
        # All at once at the end: an interrupted count must not be kept as the whole.
        book.held_bytes, book.held_files, book.claims = sum(sizes), len(sizes), alive

    def _clear_leftovers_once(self, book: Book) -> None:
        if not self._has_looked_for_leftovers:
            # First: a writer that is given up while we look may come too late to be seen.
            self._has_looked_for_leftovers = True
            # A claim of the dead may belong to a file that was published just before: only a count can tell.
            if self._claims_of_the_living(book) != book.claims:
                self.recount(book)

    def _claims_of_the_living(self, book: Book) -> dict[str, Claim]:
        """Give the claims of writers that live, and remove the unfinished files of those that do not."""
        alive: dict[str, Claim] = {}
        for name in names_in(self._lease.private_descriptor):
            if name.startswith(TEMPORARY_PREFIX):
                held = self._held_if_alive(name)
                if held is not None:
                    # Its claim is unknown only if the book was damaged; then it can be at most one step ahead.
                    alive[name] = book.claims.get(name) or Claim(held.bytes + STEP_BYTES, held.files)
        return alive

    def _admit(self, book: Book, more: Usage) -> None:
        if book.has_room(self._quota, more):
            return
        # The book may say too much after a crash or a deletion, so nobody is refused on its word alone.
        self.recount(book)
        excess = book.excess(self._quota, more)
        if excess is not None:
            limit, used, unit = excess
            raise QuotaExceededError(self._lease.session_id, limit, used, unit)

    def _make_unfinished(self, name: str, many: bool) -> int:
        from filelock import lock_descriptor  # here, because it loads much

        reach("make", FILES, self._lease.session_id, "w")
        descriptor = (make_directory if many else make_file)(name, self._lease.private_descriptor)
        # Held until the writer ends, however it ends: this is how a recount tells a dead writer.
        lock_descriptor(descriptor, blocking=False)
        return descriptor

    def _unlink(self, name: str) -> None:
        reach("unlink", FILES, self._lease.session_id, "w")
        with suppress(FileNotFoundError):
            if name.startswith(MANY_PREFIX):
                shutil.rmtree(name, dir_fd=self._lease.private_descriptor)
            else:
                os.unlink(name, dir_fd=self._lease.private_descriptor)

    def _held_if_alive(self, name: str) -> Usage | None:
        """Give what is in an unfinished file, or a folder of them, whose writer lives; else remove it and give None."""
        from filelock import lock_descriptor

        try:
            descriptor = open_for_reading(name, self._lease.private_descriptor)
        except FileNotFoundError:
            return None
        try:
            if not lock_descriptor(descriptor, blocking=False):
                if not name.startswith(MANY_PREFIX):
                    return Usage(os.fstat(descriptor).st_size, 1)
                sizes = [found.st_size for _, found in FileTree(self._lease.session_id, descriptor).files()]
                return Usage(sum(sizes), len(sizes))
            self._unlink(name)
            return None
        finally:
            os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        from filelock import lock_descriptor, unlock_descriptor

        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            descriptor = self._open_ledger()
            try:
                while not lock_descriptor(descriptor, blocking=False):
                    if time.monotonic() > deadline:
                        raise WorkspaceError(self._lease.session_id, "another process has kept its ledger for too long")
                    time.sleep(random.uniform(0.0005, 0.004))
                # A replaced ledger would give two holders, one on each file.
                if is_still_named(LEDGER, self._lease.private_descriptor, descriptor):
                    try:
                        yield descriptor
                    finally:
                        # Not by closing alone: a child forked meanwhile may still have the descriptor.
                        unlock_descriptor(descriptor)
                    return
            finally:
                os.close(descriptor)

    def _open_ledger(self) -> int:
        # No O_TRUNC: the book of whoever holds the lock is in it.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        parent = self._lease.private_descriptor
        try:
            descriptor = os.open(LEDGER, flags, FILE_MODE, dir_fd=parent)
        except OSError as error:
            found = look(LEDGER, parent)
            if found is None or self._tree.is_plain(found):
                raise
            raise PathEscapeError(self._lease.session_id, LEDGER, "the ledger is not a plain file") from error
        if not self._tree.is_plain(os.fstat(descriptor)):
            os.close(descriptor)
            raise PathEscapeError(self._lease.session_id, LEDGER, "the ledger is not a plain file")
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
        return descriptor
