"""What a step touches: points, and which of them depend on each other."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, NamedTuple

from attrs import field, frozen

from sessionguard.core.points import Part


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


@frozen
class NumberedPart:
    """A part of something, known by when it was first met in its schedule.

    Its name may be drawn at random, such as that of a session; by its number it is the same one in every schedule.
    """

    whole: Hashable
    number: int
    name: str = field(eq=False)

    def __str__(self) -> str:
        return f"{self.whole}/{self.name}"


_OWN_MODES: Final = frozenset({"call", "ret", "-"})

OPERATIONS: Final = "(operations)"
"""The resource of calls and returns: which operation ended before which began is something a history shows."""
CLOCK: Final = "(clock)"
"""The resource of the virtual clock."""

INSIDE: Final = "(inside)"
"""The resource of what the harness itself sees tasks do to each other, together with a task's number."""

RETURN: Final = Point("ret", OPERATIONS, "ret")
START: Final = Point("start", None, "-")

_INSIDE_OF_WHOLE: Final = {"r": "part r", "w": "part w"}
_PART_MODES: Final = ("part r", "part w")
_PARTS: Final = (Part, NumberedPart)

_COMMUTING: Final = frozenset(
    {("r", "r"), ("call", "call"), ("ret", "ret"), ("r", "part r"), ("part r", "r")}
    | {(one, other) for one in _PART_MODES for other in _PART_MODES}
)


def is_declared(point: Point) -> bool:
    """Whether the code that is raced said so, by a point, a lock or a timer, and not the harness of its own."""
    return point.mode != "-" and not (isinstance(point.resource, tuple) and point.resource[:1] == (INSIDE,))


def modes_conflict(one: str, other: str) -> bool:
    """Whether accesses of one resource in these modes depend on each other, so that their order can matter."""
    return (one, other) not in _COMMUTING and one != "-" and other != "-"


def conflict(one: Iterable[Point], other: Iterable[Point]) -> bool:
    """Whether two steps depend on each other."""
    return any(_meet(a.resource, b.resource) and modes_conflict(a.mode, b.mode) for a in one for b in other)


def _meet(one: Hashable, other: Hashable) -> bool:
    if one == other:
        return True
    return (isinstance(one, _PARTS) and one.whole == other) or (isinstance(other, _PARTS) and other.whole == one)


def with_wholes(accesses: Sequence[Point]) -> Sequence[Point]:
    """Give accesses with those of a part told as ones inside its whole, too, so that conflicts are of equal resources.

    Accesses inside one whole commute with each other: what they have in common is the part.
    """
    inside = [
        Point(access.label, access.resource.whole, _INSIDE_OF_WHOLE[access.mode])
        for access in accesses
        if isinstance(access.resource, _PARTS) and access.mode in _INSIDE_OF_WHOLE
    ]
    return [*accesses, *inside] if inside else accesses
