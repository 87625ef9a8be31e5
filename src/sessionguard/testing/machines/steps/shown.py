"""How arguments are shown in a trace: whole, but for what lies too deep for the interpreter to show."""

import reprlib
from typing import Any, Final

_DEPTH: Final = 20
_LENGTH: Final = 10_000
_NUMBERS: Final = ("tuple", "list", "array", "dict", "set", "frozenset", "deque", "string", "long", "other")


def _limits() -> reprlib.Repr:
    limits = reprlib.Repr()
    limits.maxlevel = _DEPTH
    for name in _NUMBERS:
        setattr(limits, f"max{name}", _LENGTH)
    return limits


_SHOWING: Final = _limits()


def shown(value: Any) -> str:
    """Give it as text, of bounded depth. The plain `repr` fails at a thousand lists in each other."""
    return _SHOWING.repr(value)
