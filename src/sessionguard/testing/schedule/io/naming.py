"""Names that are the same in every schedule: of what has a random part, only the rest is told."""

import re
from collections.abc import Hashable
from typing import Final

from attrs import field, frozen

_WORD: Final = re.compile(r"[^\W_]+")
_TEMPORARY: Final = re.compile(r"tmp[a-z0-9_]{8}")
_LONG: Final = 16
"""A word of so many characters may be drawn, whatever they are."""
_SHORT: Final = 8
"""One of so many, if a digit is among them or all are hexadecimal."""
_DIGITS: Final = 3
"""So many digits may count something, such as processes."""


def stable(name: str) -> str:
    """Give a name with a star for each word in it that may be drawn, counted or temporary."""
    return _WORD.sub(lambda found: "*" if _may_be_drawn(found[0]) else found[0], _TEMPORARY.sub("*", name))


def _may_be_drawn(word: str) -> bool:
    digits = sum(character.isdigit() for character in word)
    is_hexadecimal = not set(word.lower()) - set("0123456789abcdef")
    return len(word) >= _LONG or digits >= _DIGITS or (len(word) >= _SHORT and (digits > 0 or is_hexadecimal))


@frozen
class Place:
    """A folder or a database, known by when it was first met in its schedule, for its path may be drawn."""

    number: int
    name: Hashable = field(eq=False)

    def __str__(self) -> str:
        return str(self.name[-1] if isinstance(self.name, tuple) else self.name)
