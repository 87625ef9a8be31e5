"""Races for the last place: callers who open sessions of one owner, or log in as that owner, all at once."""

from collections.abc import Sequence
from typing import Any, Final

from sessionguard.core.driving import Flow, perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.limits import ActiveLimit
from sessionguard.testing.contracts.arena import Race, race
from sessionguard.testing.contracts.cases import Steps
from sessionguard.testing.contracts.stage import IDLE, SECOND, Stage

_MOST: Final = 3
_REFUSE: Final = ActiveLimit(_MOST, "refuse")
_END_OLDEST: Final = ActiveLimit(_MOST, "end_oldest")


def _opening(s: Stage, owner: str, number: int, limit: ActiveLimit, **details: Any) -> Any:
    """Give what one caller asks: each verb in turn, in slots of their own."""
    verb = (s.create, s.get_or_create, s.replace)[number % 3]
    return verb(owner, external_id=f"caller {number}", at_most=limit, **details)


def _active(s: Stage, owner: str, **when: Any) -> Flow[set[str]]:
    left = yield from perform(s.end_owner(owner, **when))
    return {record.id for record in left.records}


@race
class ALimitHoldsAtEveryInstant(Race):
    """Of callers who open sessions of one owner at once, exactly as many as allowed are not refused."""

    needs = "limits"

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        # It is over by then, so it does not count, and it is ended once.
        over = (yield from perform(s.create(owner))).record
        yield from perform(s.create(owner, at=SECOND))
        return owner, over.id

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        return (yield from perform(_opening(s, subject[0], number, _REFUSE, at=IDLE)))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        owner, over = subject
        opened = {reply.record.id for reply in seen if not reply.is_refused}
        assert len(opened) == _MOST - 1, f"{len(opened)} of {_MOST - 1} places were given"
        assert [record.id for reply in seen for record in reply.ended] == [over]
        left = yield from _active(s, owner, at=IDLE)
        assert opened < left
        assert len(left) == _MOST


@race
class AsManyStayAsAllowed(Race):
    """Of callers who open sessions of one owner at once, ending others, all succeed, and as many as allowed stay."""

    needs = "limits"

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        return (yield from perform(_opening(s, subject, number, _END_OLDEST)))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        opened = {reply.record.id for reply in seen}
        ended = [record.id for reply in seen for record in reply.ended]
        left = yield from _active(s, subject)
        assert {record.reason for reply in seen for record in reply.ended} <= {"limit"}
        assert len(left) == min(_MOST, len(seen)), f"{len(left)} stay, {_MOST} may"
        assert sorted(ended) == sorted(opened - left), "not each of the others was ended, once"


@race
class LoginsAreLimitedAtEveryInstant(Race):
    """Visitors who log in as one owner at once, beside others who open sessions, never are more than allowed."""

    needs = "limits"

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        strict = yield from super().prepare(s, callers)
        mild = yield from super().prepare(s, callers)
        visits = []
        # Enough for the callers of a few processes.
        for _ in range(4 * callers):
            visits.append((yield from perform(s.create(s.mint.anonymous_owner()))).record)
        return strict, mild, visits

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        strict, mild, visits = subject
        if number % 2:
            first = yield from perform(_opening(s, strict, number, _REFUSE))
            second = yield from perform(_opening(s, mild, number, _END_OLDEST))
            return not first.is_refused, second.ended
        one, other = visits[2 * number % len(visits)], visits[(2 * number + 1) % len(visits)]
        first = yield from perform(s.rotate(one, owner=strict, at_most=_REFUSE))
        second = yield from perform(s.rotate(other, owner=mild, at_most=_END_OLDEST))
        assert second.outcome is Outcome.DONE
        return first.outcome is Outcome.DONE, second.ended

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        strict, mild, _ = subject
        assert [given for given, _ in seen].count(True) == min(_MOST, len(seen))
        assert len((yield from _active(s, strict))) == min(_MOST, len(seen))
        left = yield from _active(s, mild)
        ended = [record.id for _, records in seen for record in records]
        assert len(left) == min(_MOST, len(seen))
        assert len(ended) == len(set(ended)) == len(seen) - len(left)
