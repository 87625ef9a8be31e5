"""The leases of one session as a value: decided here for every store that decides in Python."""

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from sessionguard.core.leases import HoldLease, LeaseReply
from sessionguard.core.lifecycle import Outcome, settled
from sessionguard.core.records import SessionRecord
from sessionguard.core.visitors import ended_reason


@frozen
class Leases:
    """Who holds a session, until when. Of those who let go only the number of the last is kept."""

    count: int = 0
    """The highest fence that was ever given out."""
    held: Mapping[str, tuple[int, int]] = field(factory=dict)
    """Holder -> its fence, and the instant at which its lease lapses."""

    @property
    def floor(self) -> int:
        """The lowest fence of those who hold it; the last that was given out if nobody does."""
        return min((fence for fence, _ in self.held.values()), default=self.count)

    @property
    def until_us(self) -> int:
        """The instant at which the last lease lapses; 0 if there is none."""
        return max((until_us for _, until_us in self.held.values()), default=0)

    def living(self, now_us: int) -> "Leases":
        """Give those that have not lapsed."""
        if all(now_us < until_us for _, until_us in self.held.values()):
            return self
        return evolve(self, held={name: one for name, one in self.held.items() if now_us < one[1]})

    def without(self, holder: str) -> "Leases":
        """Give the others."""
        return evolve(self, held={name: one for name, one in self.held.items() if name != holder})

    def text(self) -> str:
        """Give what `read` takes; empty if nobody ever held it."""
        return json.dumps([self.count, self.held], separators=(",", ":")) if self.count else ""

    @classmethod
    def read(cls, text: str) -> "Leases":
        """Give what `text` gave.

        Raises:
            ValueError: it gave something else.
        """
        if not text:
            return NO_LEASES
        try:
            count, held = json.loads(text)
            return cls(int(count), {str(name): (int(fence), int(until)) for name, (fence, until) in held.items()})
        except (TypeError, AttributeError) as error:
            raise ValueError("the leases of a session are damaged") from error


NO_LEASES = Leases()

Decision = tuple[LeaseReply, "Leases | None"]
"""The answer, and the leases as they are to be kept; None: as they are."""


def hold(leases: Leases, record: SessionRecord | None, was_released: bool, command: HoldLease, now_us: int) -> Decision:
    """Decide about `HoldLease`; the session is to be touched if it is done and has no reason."""
    if record is None:
        return LeaseReply(Outcome.ENDED), None
    reason, leases = ended_reason(settled(record, now_us), command.meant), leases.living(now_us)
    if was_released:
        return LeaseReply(Outcome.CONFLICT, reason=reason), None
    mine = leases.held.get(command.holder)
    if mine is None and reason is not None:
        return LeaseReply(Outcome.ENDED, reason=reason), None
    fence, until_us = leases.count + 1 if mine is None else mine[0], now_us + command.lease_us
    leases = Leases(max(leases.count, fence), {**leases.held, command.holder: (fence, until_us)})
    return LeaseReply(Outcome.DONE, fence, until_us, leases.floor, reason), leases


def release(leases: Leases, record: SessionRecord | None, was_released: bool, holder: str, now_us: int) -> Decision:
    """Decide about `ReleaseLease`; if it is done and leases are given, the holder is remembered as an operation."""
    if record is None:
        return LeaseReply(Outcome.CONFLICT), None
    reason, living = settled(record, now_us).reason, leases.living(now_us)
    others = living.without(holder)
    if was_released:
        return LeaseReply(Outcome.DONE, until_us=others.until_us, reason=reason), None
    outcome = Outcome.DONE if holder in living.held else Outcome.CONFLICT
    return LeaseReply(outcome, until_us=others.until_us, reason=reason), others


def of_json(value: Any) -> Leases:
    """Give the leases that are kept as the text within another JSON value; None: there never were any."""
    return Leases.read(value or "")
