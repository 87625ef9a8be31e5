"""A long failure cut to what says what it is: never the end of a table, or the line that repeats a race."""

from collections.abc import Sequence
from typing import Final

_MOST_LINES: Final = 25
_FIRST_OF_TABLE: Final = 8
_LAST_OF_TABLE: Final = 16
"""Rows before the line that repeats a race: there stands what went wrong."""
_REPEATING: Final = "  reproduce: "


def shortened(lines: Sequence[str]) -> list[str]:
    """Give the lines of a failure, with a word on how many were left out, and where."""
    places = [place for place, line in enumerate(lines) if line.startswith(_REPEATING)]
    if not places:
        return _beginning(lines)
    end = places[0]
    rows = list(lines[:end])
    left = len(rows) - _FIRST_OF_TABLE - _LAST_OF_TABLE
    if left > 1:
        rows[_FIRST_OF_TABLE:-_LAST_OF_TABLE] = [f"  ... {left} lines are left out"]
    return [*rows, lines[end], *_beginning(lines[end + 1 :])]


def _beginning(lines: Sequence[str]) -> list[str]:
    left = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], f"... and {left} more lines"] if left > 0 else list(lines)
