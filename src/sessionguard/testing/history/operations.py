"""What one client asked and what came of it, as a frozen value."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen

from sessionguard.testing.history.showing import shown

Outcome = Literal["ok", "fail", "info"]
"""ok: it was answered. fail: for certain it did nothing. info: nobody knows; it may take effect at any time later."""


@frozen
class Operation:
    """One call of one client. It took effect at one instant of the closed interval from `call` to `ret`, if at all."""

    client: str
    name: str
    args: Mapping[str, Any]
    call: int
    """When it was called, by the history's clock, which orders the operations and means nothing else."""
    ret: int | None
    """When it returned; None means never, as far as anybody knows."""
    outcome: Outcome = "ok"
    result: Any = None
    """The answer; for "fail" and "info" the reason as text."""
    instance: int = 0
    """Which process or store the client worked in."""
    clock_at_call: int | None = None
    """What the clock that judges sessions showed when it was called, in microseconds."""
    clock_at_ret: int | None = None
    index: int = field(default=0, eq=False)
    """Its number in its history."""

    def __str__(self) -> str:
        return f"{self.client}: {shown(self)}"


def in_order(operations: Iterable[Operation]) -> list[Operation]:
    """Give the operations in the order in which they were called."""
    return sorted(operations, key=lambda operation: operation.call)
