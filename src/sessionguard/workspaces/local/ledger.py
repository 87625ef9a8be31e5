"""Keep the book of a workspace on disk, one writer at a time across threads and processes."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sessionguard import booting
from sessionguard.core.commands import Fence
from sessionguard.core.leases import lost
from sessionguard.errors import PathEscapeError, QuotaExceededError
from sessionguard.workspaces.local.book import Book, Claim
from sessionguard.workspaces.local.descriptors import is_still_named, look, make_directory, make_file, open_or_make_file
from sessionguard.workspaces.local.holdings import Holdings
from sessionguard.workspaces.local.keeping import kept, lock
from sessionguard.workspaces.local.layout import LEDGER, MANY_PREFIX, TEMPORARY_PREFIX
from sessionguard.workspaces.local.leases import Lease
from sessionguard.workspaces.local.lines import read_line
from sessionguard.workspaces.local.owners import Owners
from sessionguard.workspaces.local.pages import Page
from sessionguard.workspaces.local.publishing import finish
from sessionguard.workspaces.local.reaches import BOOKS, FILES, reach, taken
from sessionguard.workspaces.local.tree import FileTree
from sessionguard.workspaces.quota import OwnerQuota, Quota, Usage

_log = logging.getLogger("sessionguard.workspaces")


class Ledger:
    """The shared account of one workspace, seen through one lease with its quota, and under a lock with its fence."""

    def __init__(self, lease: Lease, tree: FileTree, quota: Quota, owners: Owners, fence: Fence | None = None) -> None:
        self._lease = lease
        self._tree = tree
        self._quota = quota
        self._owners = owners
        self._fence = fence
        self._passed = ""
        """The birth of the book in which the fence was passed first; nothing before."""
        self._holdings = Holdings(lease.session_id, tree, lease.private_descriptor)
        self._has_looked_for_leftovers = False

    @contextmanager
    def opened(self) -> Iterator[Page]:
        """Give the book for changing; nobody else changes it, or publishes or deletes a file, meanwhile.

        Raises:
            WorkspaceError: another process kept it for too long; nothing was done.
            LockLostError: someone who took the lock later has been here.
            LeaseLostError: so has someone who held the session after its lease had lapsed; or this process stood still
                in the block, and what it did may be void.
        """
        with self._entered() as page:
            if self._fence is not None:
                self._pass(self._fence, page.book)
            yield page

    def _pass(self, fence: Fence, book: Book) -> None:
        # A book that was begun anew knows nobody who came after this ledger, and would let it pass.
        if self._passed not in ("", book.birth) or not book.pass_fence(fence):
            raise lost(self._lease.session_id, fence)
        self._passed = book.birth

    @contextmanager
    def _entered(self) -> Iterator[Page]:
        lease = self._lease
        with lease.using(), taken(BOOKS, lease.session_id), self._kept() as descriptor:
            page = self._read(descriptor)
            try:
                yield page
            finally:
                page.book.doing = ""
                page.write()
                self._settle(page)
            page.check()

    def _settle(self, page: Page) -> None:
        # What was granted was entered before; this is what is given back, or was changed by a lease without that quota.
        if page.book.owner and page.book.spoken_for() != page.told:
            page.told = page.book.spoken_for()
            self._owners.settle(page.book.owner, self._lease.session_id, page.told, page.beat)

    def _read(self, descriptor: int) -> Page:
        """Give the book, counted anew if there is none to believe."""
        lease, epoch = self._lease, booting.this_boot().hex()
        text = read_line(descriptor)
        book = Book.read(text, epoch)

        def is_current() -> bool:
            return is_still_named(LEDGER, lease.private_descriptor, descriptor)

        new = Book(epoch, birth=secrets.token_hex(8))
        page = Page(lease.session_id, descriptor, book or new, text, is_current)
        if book is None:
            former = Book.read(text)
            if former is not None:
                page.book.owner = former.owner
            elif os.fstat(descriptor).st_size:
                _log.warning(
                    "the ledger of session %s was damaged: its files are counted anew, and who has its workspace open "
                    "under a lock is refused, for those who took it since are forgotten",
                    lease.session_id,
                )
            self._count_anew(page)
        elif book.has_bundles and self._finish_publications(page):
            self._holdings.recount(book, page.beat)
        return page

    def _finish_publications(self, page: Page) -> bool:
        """Give files their names whose writer died, or stands still, while doing so; tell whether there were any."""
        found = self._holdings.publications()
        for name in found:
            finish(self._lease, name, page.beat)
        return bool(found)

    def _count_anew(self, page: Page) -> None:
        former = list(self._holdings.books_put_aside())
        for _, other in former:
            page.book.take_on(other)
            self._holdings.void(other.doing)
        self._finish_publications(page)
        self._holdings.recount(page.book, page.beat, is_new=not former)
        page.write()
        # Not before: what they promised is in the book now.
        for name, _ in former:
            self._holdings.unlink(name)

    def heal(self) -> None:
        """Finish what a crash interrupted between two files that were to appear together; waits for whoever is at it.

        Raises:
            WorkspaceError: another process kept the ledger for too long.
        """
        if self._holdings.publications():
            with self._entered():
                pass

    def begin(self, expected: Usage, *, many: bool = False) -> tuple[str, int]:
        """Claim `expected` and give the name and descriptor of a new unfinished file; close the descriptor.

        With `many` it is a folder for the files that are to appear together.

        Raises:
            QuotaExceededError: it does not fit; nothing was made.
        """
        name = (MANY_PREFIX if many else TEMPORARY_PREFIX) + secrets.token_hex(12)
        made: list[int] = []
        try:
            with self.opened() as page:
                self._lease.check()
                self._clear_leftovers_once(page)
                self._admit(page, expected)
                page.book.claim(name, expected)
                made.append(self._make_unfinished(name, many))
        except BaseException:
            # The book was not kept, and a file that nobody writes must not look alive.
            self._holdings.unlink(name)
            for descriptor in made:
                os.close(descriptor)
            raise
        return name, made[0]

    def reserve(self, name: str, need_bytes: int) -> int:
        """Claim at least `need_bytes` more for the unfinished file `name`, and say how many.

        Raises:
            QuotaExceededError: they do not fit, not even after a recount.
        """
        with self.opened() as page:
            granted = self._admit(page, Usage(need_bytes, 0), spare_for=name)
            page.book.claim(name, Usage(granted, 0))
            return granted

    def admit_files(self, page: Page, name: str, count: int) -> None:
        """Have the claim `name` cover so many new files.

        Raises:
            QuotaExceededError: there are as many files as the quota allows.
        """
        lacking = count - page.book.claims.get(name, Claim(0, 0)).files
        if lacking > 0:
            self._admit(page, Usage(0, lacking))
            page.book.claim(name, Usage(0, lacking))

    def discard(self, name: str) -> None:
        """Remove the unfinished file `name` and its claim."""
        # Whoever lost the lock may do this, too.
        with self._entered() as page:
            self._holdings.unlink(name)
            page.book.drop(name)

    def expect_leftovers(self) -> None:
        """Have the next `begin` remove the unfinished files that nobody writes any more. Waits for nothing."""
        self._has_looked_for_leftovers = False

    def count(self) -> Usage:
        """Give what the workspace holds, whoever put it there; unfinished writes are not counted."""
        with self._entered() as page:
            self._holdings.recount(page.book, page.beat)
            return Usage(page.book.held_bytes, page.book.held_files)

    def _clear_leftovers_once(self, page: Page) -> None:
        if not self._has_looked_for_leftovers:
            # First: a writer that is given up while we look may come too late to be seen.
            self._has_looked_for_leftovers = True
            # A claim of the dead may belong to a file that was published just before: only a count can tell.
            if self._holdings.claims_of_the_living(page.book) != page.book.claims:
                self._holdings.recount(page.book, page.beat)

    def _admit(self, page: Page, more: Usage, *, spare_for: str | None = None) -> int:
        """Give how many bytes may be claimed: those of `more`, or also some to spare for an unfinished file."""
        book = page.book
        if not book.has_room(self._quota, more):
            # The book may say too much after a crash or a deletion, so nobody is refused on its word alone.
            self._holdings.recount(book, page.beat)
        excess = book.excess(self._quota, more)
        if excess is not None:
            limit, used, unit = excess
            raise QuotaExceededError(self._lease.session_id, limit, used, unit)
        wanted_bytes = more.bytes if spare_for is None else book.step(self._quota, more.bytes, spare_for)
        if self._quota.owner is None:
            return wanted_bytes
        return self._admit_by_owner(page, self._quota.owner, more, wanted_bytes)

    def _admit_by_owner(self, page: Page, quota: OwnerQuota, more: Usage, wanted_bytes: int) -> int:
        session_id, book = self._lease.session_id, page.book
        if book.owner != quota.key:
            former, book.owner = book.owner, quota.key
            # First: a recount of the account believes the books of the sessions.
            page.write()
            if former:
                self._owners.leave(former, session_id)
        granted = self._owners.admit(quota, session_id, book.spoken_for(), more, wanted_bytes, page.beat)
        if granted is None:
            self._holdings.recount(book, page.beat)
            granted = self._owners.admit_after_recount(quota, session_id, book.spoken_for(), more, page.beat)
        held = book.spoken_for()
        page.told = Usage(held.bytes + granted, held.files + more.files)
        return granted

    def _make_unfinished(self, name: str, many: bool) -> int:
        reach("make", FILES, self._lease.session_id, "w")
        descriptor = (make_directory if many else make_file)(name, self._lease.private_descriptor)
        # Held until the writer ends, however it ends: this is how a recount tells a dead writer.
        lock(descriptor)
        return descriptor

    @contextmanager
    def _kept(self) -> Iterator[int]:
        lease = self._lease
        with kept(LEDGER, lease.private_descriptor, self._open_ledger, lease.session_id) as descriptor:
            yield descriptor

    def _open_ledger(self, name: str, parent: int) -> int:
        try:
            descriptor = open_or_make_file(name, parent)
        except OSError as error:
            found = look(name, parent)
            if found is None or self._tree.is_plain(found):
                raise
            raise self._not_plain() from error
        if not self._tree.is_plain(os.fstat(descriptor)):
            os.close(descriptor)
            raise self._not_plain()
        return descriptor

    def _not_plain(self) -> PathEscapeError:
        return PathEscapeError(self._lease.session_id, LEDGER, "the ledger is not a plain file")
