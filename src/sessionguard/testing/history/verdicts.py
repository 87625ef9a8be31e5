"""What a check finds: legal, illegal with the evidence, or unknown."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from sessionguard.testing.history.operations import Operation


@frozen
class Legal:
    """Some order of the operations is one that the model allows."""

    steps: int = 0

    @property
    def is_legal(self) -> bool:
        """True."""
        return True

    def render(self) -> str:
        """Give the verdict as text."""
        return "legal"


@frozen
class Illegal:
    """No order of the operations is one that the model allows."""

    reason: str
    key: Any = None
    prefix: tuple[Operation, ...] = ()
    """The longest order that is allowed."""
    stuck: Operation | None = None
    """The operation that had returned and fits nowhere after it."""
    states: tuple[Any, ...] = ()
    """What the model may have come to after the prefix."""
    witnesses: tuple[Operation, ...] = ()
    """The operations that show it, if no search was needed."""
    operations: Sequence[Operation] = ()
    """All operations on the key."""

    @property
    def is_legal(self) -> bool:
        """False."""
        return False

    def render(self) -> str:
        """Give the verdict as text."""
        lines = [f"illegal: {self.reason}"]
        lines += [f"  {number:3} {operation}" for number, operation in enumerate(self.prefix, 1)]
        if self.stuck is not None:
            lines.append(f"  !!! {self.stuck}")
        return "\n".join(lines)


@frozen
class Unknown:
    """The search was given up."""

    reason: str
    key: Any = None

    @property
    def is_legal(self) -> bool:
        """False: it was not shown to be."""
        return False

    def render(self) -> str:
        """Give the verdict as text."""
        return f"unknown: {self.reason}"


Verdict = Legal | Illegal | Unknown
