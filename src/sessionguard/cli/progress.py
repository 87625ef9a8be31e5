"""A bar that fills on a terminal while something is done, and is gone when it is."""

from types import TracebackType
from typing import Final, Self, TextIO

_WIDTH: Final = 30


class Bar:
    """Shows how much is done, on one line that is drawn anew each time."""

    def __init__(self, terminal: TextIO, title: str) -> None:
        self._terminal = terminal
        self._title = title

    def show(self, done: int, total: int) -> None:
        """Draw the bar with so much done of so much."""
        filled = min(_WIDTH, _WIDTH * done // max(total, 1))
        bar = "#" * filled + "." * (_WIDTH - filled)
        self._terminal.write(f"\r{self._title} [{bar}] {done}/{total}")
        self._terminal.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What is printed next begins on an empty line.
        self._terminal.write("\r\033[K")
        self._terminal.flush()
