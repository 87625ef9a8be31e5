"""What a step touches: points, and which of them depend on each other."""

from collections.abc import Hashable, Iterable
from typing import Final, NamedTuple


class Point(NamedTuple):
    """One declared access: its name, what it reaches, and how.

    Modes are those of `sessionguard.core.points`, and four of the harness: "call" and "ret" for the beginning and the
    end of a recorded operation, "try" for taking a lock if it is free, and "-" for a point that touches nothing.
    """

    label: str
    resource: Hashable
    mode: str

    def __str__(self) -> str:
        return self.label if self.mode in _OWN_MODES else f"{self.label} {self.resource}"


_OWN_MODES: Final = frozenset({"call", "ret", "-"})

OPERATIONS: Final = "(operations)"
"""The resource of calls and returns: which operation ended before which began is something a history shows."""
CLOCK: Final = "(clock)"
"""The resource of the virtual clock."""

INSIDE: Final = "(inside)"
"""The resource of what the harness itself sees tasks do to each other, together with a task's number."""

RETURN: Final = Point("ret", OPERATIONS, "ret")
START: Final = Point("start", None, "-")

_COMMUTING: Final = frozenset({("r", "r"), ("call", "call"), ("ret", "ret")})


def is_declared(point: Point) -> bool:
    """Whether the code that is raced said so, by a point, a lock or a timer, and not the harness of its own."""
    return point.mode != "-" and not (isinstance(point.resource, tuple) and point.resource[:1] == (INSIDE,))


def modes_conflict(one: str, other: str) -> bool:
    """Whether accesses of one resource in these modes depend on each other, so that their order can matter."""
    return (one, other) not in _COMMUTING and one != "-" and other != "-"


def conflict(one: Iterable[Point], other: Iterable[Point]) -> bool:
    """Whether two steps depend on each other."""
    return any(a.resource == b.resource and modes_conflict(a.mode, b.mode) for a in one for b in other)
