"""What a workspace really holds: its files, and those that living writers have not finished."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from sessionguard.workspaces.local.book import LARGEST_STEP_BYTES, STEP_BYTES, Book, Claim
from sessionguard.workspaces.local.descriptors import (
    names_in,
    open_directory,
    open_for_reading,
)
from sessionguard.workspaces.local.emptying import delete_directory
from sessionguard.workspaces.local.keeping import ASIDE, lock, unlock
from sessionguard.workspaces.local.layout import GONE, LEDGER, MANY_PREFIX, PUBLISHING_PREFIX, TEMPORARY_PREFIX
from sessionguard.workspaces.local.lines import read_line
from sessionguard.workspaces.local.reaches import FILES, reach
from sessionguard.workspaces.local.tree import FileTree
from sessionguard.workspaces.quota import Usage


class Holdings:
    """The files of one workspace and its private directory, for whoever keeps its ledger."""

    def __init__(self, session_id: str, tree: FileTree, private: int) -> None:
        self._session_id = session_id
        self._tree = tree
        self._private = private

    def recount(self, book: Book, beat: Callable[[], None], *, is_new: bool = False) -> None:
        """Make the book say what is there; unfinished files of dead writers are removed with their claims.

        A book that `is_new` knows no claims; any other knows those of all who were given one.
        """
        size_bytes = files = 0
        for _, found in self._tree.files():
            beat()
            if not stat.S_ISDIR(found.st_mode):
                size_bytes, files = size_bytes + found.st_size, files + 1
        alive = self.claims_of_the_living(book, is_new=is_new)
        # All at once at the end: an interrupted count must not be kept as the whole.
        book.held_bytes, book.held_files, book.claims = size_bytes, files, alive

    def claims_of_the_living(self, book: Book, *, is_new: bool = False) -> dict[str, Claim]:
        """Give the claims of writers that live, and remove the unfinished files of those that do not."""
        self.empty_gone()
        alive: dict[str, Claim] = {}
        for name in names_in(self._private):
            if name.startswith(TEMPORARY_PREFIX):
                held = self._held_if_alive(name)
                if held is None:
                    continue
                if name in book.claims:
                    alive[name] = book.claims[name]
                elif is_new:
                    # It can be at most one step ahead.
                    ahead_bytes = min(LARGEST_STEP_BYTES, max(STEP_BYTES, held.bytes))
                    alive[name] = Claim(held.bytes + ahead_bytes, held.files)
                else:
                    # Of one who was passed by before he had claimed it; he is told so.
                    self.unlink(name)
        return alive

    def books_put_aside(self) -> Iterator[tuple[str, Book]]:
        """Give the books, and their names, of those who stood still while they kept them."""
        for name in names_in(self._private):
            if name.startswith(LEDGER + ASIDE):
                book = Book.read(self._text(name))
                if book is not None:
                    yield name, book

    def void(self, doing: str) -> None:
        """Make sure that one who stood still does nothing more of what he was about to do, should he go on."""
        if doing == GONE:
            # Into a directory that was removed nothing can be renamed, whoever still has a descriptor of it.
            self.empty_gone()
        elif doing.startswith(TEMPORARY_PREFIX):
            # Published already, or never.
            self.unlink(doing)

    def empty_gone(self) -> None:
        """Finish the deletion of what was on its way out when its deleter was killed or passed by."""
        try:
            gone = open_directory(GONE, self._private)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            for name in names_in(gone):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=gone)
        finally:
            os.close(gone)
        with suppress(FileNotFoundError):
            os.rmdir(GONE, dir_fd=self._private)

    def publications(self) -> list[str]:
        """Give the folders whose files are published and have not all got their names."""
        # Whoever is at it keeps the ledger until all have them.
        return [name for name in names_in(self._private) if name.startswith(PUBLISHING_PREFIX)]

    def unlink(self, name: str) -> None:
        """Remove something private, if it is there."""
        reach("unlink", FILES, self._session_id, "w")
        with suppress(FileNotFoundError):
            if name.startswith(MANY_PREFIX):
                delete_directory(name, self._private)
            else:
                os.unlink(name, dir_fd=self._private)

    def _held_if_alive(self, name: str) -> Usage | None:
        """Give what is in an unfinished file, or a folder of them, whose writer lives; else remove it and give None."""
        try:
            descriptor = open_for_reading(name, self._private)
        except FileNotFoundError:
            return None
        try:
            if not lock(descriptor):
                if not name.startswith(MANY_PREFIX):
                    return Usage(os.fstat(descriptor).st_size, 1)
                sizes = [found.st_size for _, found in FileTree(self._session_id, descriptor).files()]
                return Usage(sum(sizes), len(sizes))
            self.unlink(name)
            unlock(descriptor)
            return None
        finally:
            os.close(descriptor)

    def _text(self, name: str) -> bytes | None:
        descriptor = open_for_reading(name, self._private)
        try:
            return read_line(descriptor)
        finally:
            os.close(descriptor)
