"""What a check finds: legal, illegal with the evidence, or unknown."""

import warnings
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from sessionguard.testing.history.operations import Operation
from sessionguard.testing.history.picture import lanes, listing

_SHOWN_OF_PREFIX: Final = 12
_SHOWN_AS_LANES: Final = 60


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
        return "LEGAL"


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
    described: tuple[str, ...] = ()
    """The states as text."""

    @property
    def is_legal(self) -> bool:
        """False."""
        return False

    def render(self) -> str:
        """Give the verdict as text: what is wrong, the longest legal order and what does not fit, and all as lanes."""
        where = "" if self.key is None else f"  (key {self.key!r})"
        parts = [f"ILLEGAL  {self.reason}{where}"]
        if self.witnesses:
            parts.append(listing(self.witnesses))
        if self.stuck is not None:
            left_out = max(0, len(self.prefix) - _SHOWN_OF_PREFIX)
            parts.append("longest legal order:" + (f" (after {left_out} more)" if left_out else ""))
            parts.append(listing(self.prefix[left_out:]) or "  (nothing)")
            parts += [f"  then: {state}" for state in self.described]
            parts.append("stuck, whatever comes next:\n" + listing([self.stuck], "!!! "))
        if self.key is not None or len(self.operations) <= _SHOWN_AS_LANES:
            parts.append(lanes(self.operations, self.stuck))
        return "\n".join(parts)


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
        return f"UNKNOWN  {self.reason}" + ("" if self.key is None else f"  (key {self.key!r})")


Verdict = Legal | Illegal | Unknown


class HistoryError(AssertionError):
    """A history is not legal; the message is the report."""

    def __init__(self, verdict: Illegal | Unknown) -> None:
        self.verdict = verdict
        super().__init__("\n" + verdict.render())


def require_legal(verdict: Verdict, *, strict: bool = False) -> None:
    """Return if the verdict is legal; with `strict` it must be known, too.

    Raises:
        HistoryError: no order of the operations is legal; or, with `strict`, the search was given up.
    """
    if isinstance(verdict, Illegal) or (strict and isinstance(verdict, Unknown)):
        raise HistoryError(verdict)
    if isinstance(verdict, Unknown):
        warnings.warn(verdict.render(), UnknownVerdictWarning, stacklevel=2)


class UnknownVerdictWarning(UserWarning):
    """A history was too large or too uncertain to be judged within its budget."""
