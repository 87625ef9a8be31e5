"""What a clean-up asks about the whole store (an optional ability): what is due, and whose turn it is to clean up."""

import math
from datetime import datetime
from typing import Any, ClassVar

from attrs import frozen

from sessionguard.core.commands import Command
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.errors import IdentityMismatchError


@frozen
class Counted:
    """How many sessions are due: their time is over and nobody has ended them yet.

    Whoever counts may stop as soon as it is certain whether `due` is more than the share that was asked about, so
    both numbers are the true ones or lower, and which of both cases it is follows from them all the same.
    """

    due: int
    active: int
    """All that nobody has ended yet, due or not."""


@frozen
class Census(Command[Counted]):
    """Count what is due beside what is active, as far as it takes to tell whether it is more than `share` of that.

    Fewer than `floor` are never too many. The cost follows what is due, divided by the share, not what exists.
    """

    verb: ClassVar[str] = "census"
    at: datetime | None
    share: float
    """Above zero and below one."""
    floor: int

    def is_exceeded_by(self, counted: Counted) -> bool:
        """Tell whether so many are due that a clean-up must not go on by itself."""
        return counted.due >= self.floor and counted.due > self.share * counted.active

    def enough_living(self, due: int) -> int:
        """Give beside how many that are not due, `due` are no more than the share. Further need nobody count."""
        return max(0, math.floor(due / self.share) - due) + 1


@frozen
class FindDue(Command[tuple[SessionRecord, ...]]):
    """Give up to `limit` sessions that a sweep would end, the longest expired first, and leave them as they are."""

    verb: ClassVar[str] = "find_due"
    limit: int
    at: datetime | None


@frozen
class _TurnCommand(Command[Outcome]):
    name: str
    holder: str
    """Names one runner; drawn at random for each."""
    at: datetime | None

    def verify(self, reply: Outcome, store_name: str) -> None:
        if reply not in (Outcome.DONE, Outcome.CONFLICT):
            raise IdentityMismatchError(store_name, self.verb, "outcome")


@frozen
class TakeTurn(_TurnCommand):
    """Take the turn `name` for `lease_us`, or keep it, from now. CONFLICT: another has it, whose lease lives.

    What was taken at an instant that is still to come is void: a clock that was ahead for a moment, whose runner may
    have died with it, must not keep all others from their work until that instant.

    It keeps runners from doing the same work at once, and no more: who was stopped past the lease runs on. So what is
    done in turn must be safe when two do it.
    """

    verb: ClassVar[str] = "take_turn"
    lease_us: int

    def apply(self, store: Any) -> Any:
        return store.take_turn(self)


@frozen
class GiveTurn(_TurnCommand):
    """Give the turn back; nothing of it stays. CONFLICT: another has it, and keeps it. Nobody's is DONE."""

    verb: ClassVar[str] = "give_turn"

    def apply(self, store: Any) -> Any:
        return store.give_turn(self)
