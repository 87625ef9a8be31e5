"""The book of a workspace while it is kept: what is written into it, and whether it still is the book."""

from collections.abc import Callable

from sessionguard.errors import LeaseLostError, WorkspaceError
from sessionguard.workspaces.local.book import Book
from sessionguard.workspaces.local.keeping import Pulse
from sessionguard.workspaces.local.lines import LARGEST_TEXT_BYTES, write_line
from sessionguard.workspaces.local.reaches import BOOKS, reach


class Page:
    """The book for changing; what is changed counts once it is written and `check` has returned."""

    def __init__(
        self, session_id: str, descriptor: int, book: Book, text: bytes | None, is_current: Callable[[], bool]
    ) -> None:
        self.book = book
        self.told = book.spoken_for()
        """What the account of the owner has for this workspace, as far as is known here."""
        self.beat = Pulse(descriptor).beat
        """A sign of life, for those who wait."""
        self._session_id = session_id
        self._descriptor = descriptor
        self._text = text
        self._is_current = is_current

    def write(self) -> None:
        """Write what has changed.

        Raises:
            WorkspaceError: so many locks were used that their fences have no room; the former book is as it was.
            OSError: the disk is full, or does not take it; the former book is as it was.
        """
        text = self.book.text()
        if text == self._text:
            return
        if len(text) > LARGEST_TEXT_BYTES:
            # No fence is ever forgotten: who has stood still since he took that lock may come at any time.
            problem = f"its ledger has no room for the fences of more than {len(self.book.fences)} locks"
            raise WorkspaceError(self._session_id, f"{problem}; use fewer names of locks under which files are used")
        reach("write the book", BOOKS, self._session_id, "w")
        write_line(self._descriptor, text)
        self._text = text

    def announce(self, doing: str) -> None:
        """Say what is done next that others see; whoever takes the place of this process makes it impossible then.

        Raises:
            LeaseLostError: somebody has; nothing may be done.
        """
        self.book.doing = doing
        self.write()
        # In this order: one who puts the book aside later than this has read what was announced.
        self.check()

    def check(self) -> None:
        """Return if this still is the book.

        Raises:
            LeaseLostError: another has taken the place of this process, which stood still.
        """
        if not self._is_current():
            reason = "this process stood still for so long that another took its place; do it again"
            raise LeaseLostError(self._session_id, reason)
