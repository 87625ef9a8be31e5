"""Cleaning up as a fleet: what is due is counted and shown without a change, and one runner at a time has the turn."""

from collections.abc import Sequence
from typing import Any

from sessionguard.core import fleet as f
from sessionguard.core.driving import Flow, perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import Lifetime, SessionRecord
from sessionguard.testing.contracts.arena import Race, race
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, LIFETIME, SECOND, START, TICK, Stage


def _idle_for(seconds: int) -> Lifetime:
    return Lifetime(seconds * 1_000_000, LIFETIME.absolute_us, 0, LIFETIME.retention_us)


def _opened(s: Stage, due: int, living: int) -> Flow[list[SessionRecord]]:
    """Open so many that are due after ten seconds, and so many others; gives the first."""
    records = []
    for number in range(due):
        records.append((yield from perform(s.create(f"due-{number}", lifetime=_idle_for(10)))).record)
    for number in range(living):
        yield from perform(s.create(f"living-{number}"))
    return records


@case(needs="fleet")
def a_census_tells_whether_too_much_is_due(s: Stage) -> Steps:
    """A census tells that more than a share of the active sessions is due, and not when it is exactly that share."""
    yield from _opened(s, 3, 9)
    for share, is_exceeded in ((0.01, True), (0.2, True), (0.24, True), (0.25, False), (0.26, False), (0.9, False)):
        command = s.census(share, at=10 * SECOND)
        assert command.is_exceeded_by((yield from perform(command))) == is_exceeded, share
    yield from _opened(s, 0, 4)
    command = s.census(0.2, at=10 * SECOND)
    assert not command.is_exceeded_by((yield from perform(command)))


@case(needs="fleet")
def a_census_goes_by_the_instant(s: Stage) -> Steps:
    """A session is counted as due from its deadline on, which a touch moves, and not once it has ended."""
    first, second, third = yield from _opened(s, 3, 0)
    for at, is_due in ((START, False), (10 * SECOND - TICK, False), (10 * SECOND, True)):
        command = s.census(0.9, at=at)
        counted = yield from perform(command)
        assert (counted.due > 0, command.is_exceeded_by(counted)) == (is_due, is_due), at
    yield from perform(s.touch(first, at=SECOND))
    yield from perform(s.end(second, at=SECOND))
    command = s.census(0.4, at=10 * SECOND)
    assert command.is_exceeded_by((yield from perform(command)))
    yield from perform(s.touch(third, at=SECOND))
    assert not command.is_exceeded_by((yield from perform(command)))


@case(needs="fleet")
def a_census_spares_small_numbers(s: Stage) -> Steps:
    """Fewer due than the floor are never too many, whatever their share; as many as the floor are."""
    yield from _opened(s, 4, 1)
    for floor, is_exceeded in ((5, False), (100, False), (4, True), (1, True)):
        command = s.census(0.2, floor, at=10 * SECOND)
        assert command.is_exceeded_by((yield from perform(command))) == is_exceeded, floor


@case(needs="fleet")
def a_census_counts_no_more_than_there_are(s: Stage) -> Steps:
    """A census counts at most what is there: ended sessions are neither due nor active, an empty store has none."""
    command = s.census(at=10 * SECOND)
    counted = yield from perform(command)
    assert (counted, command.is_exceeded_by(counted)) == (f.Counted(0, 0), False)
    records = yield from _opened(s, 9, 6)
    for record in records[:5]:
        yield from perform(s.end(record))
    for share, floor in ((0.01, 1), (0.5, 1), (0.2, 3), (0.99, 100)):
        counted = yield from perform(s.census(share, floor, at=10 * SECOND))
        assert counted.due <= 4, (share, floor)
        assert counted.active <= 10, (share, floor)
    yield from perform(s.sweep(at=10 * SECOND))
    assert (yield from perform(s.census(at=10 * SECOND))).due == 0


@case(needs="fleet")
def what_is_due_is_what_a_sweep_ends(s: Stage) -> Steps:
    """`find_due` gives what a sweep of the same limit then ends, in its order, as it was before."""
    for seconds in (50, 10, 40, 20, 30):
        yield from perform(s.create(f"owner-{seconds}", lifetime=_idle_for(seconds)))
    yield from perform(s.create("other"))
    at = 45 * SECOND
    assert len((yield from perform(s.find_due(100, at=at)))) == 4
    found = yield from perform(s.find_due(3, at=at))
    assert [record.reason for record in found] == [None] * 3
    swept = (yield from perform(s.sweep(3, at=at))).records
    assert [record.id for record in found] == [record.id for record in swept]


@case(needs="fleet")
def looking_at_what_is_due_changes_nothing(s: Stage) -> Steps:
    """Neither `census` nor `find_due` ends or extends anything: before its deadline each session is as it was."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    for _ in range(2):
        assert (yield from perform(s.census(at=IDLE))).due == 1
        assert (yield from perform(s.find_due(at=IDLE))) == (opened,)
    assert (yield from perform(s.find_due(at=IDLE - TICK))) == ()
    assert (yield from perform(s.load(opened))).record == opened


@case(needs="fleet")
def a_turn_is_refused_to_others(s: Stage) -> Steps:
    """While one has the turn another is refused, anywhere; its holder may keep it, and other turns are free."""
    assert (yield from perform(s.take_turn("one"))) is Outcome.DONE
    assert (yield from perform(s.take_turn("two"))) is Outcome.CONFLICT
    assert (yield from perform(s.elsewhere(s.take_turn("two", at=SECOND - TICK)))) is Outcome.CONFLICT
    assert (yield from perform(s.take_turn("two", "other"))) is Outcome.DONE
    assert (yield from perform(s.take_turn("one", at=SECOND - TICK))) is Outcome.DONE
    assert (yield from perform(s.take_turn("two", at=SECOND + SECOND - TICK - TICK))) is Outcome.CONFLICT


@case(needs="fleet")
def a_turn_lapses(s: Stage) -> Steps:
    """A turn is free at the instant its lease lapses and not before; who had it is then refused like others."""
    yield from perform(s.take_turn("one"))
    assert (yield from perform(s.take_turn("two", at=SECOND - TICK))) is Outcome.CONFLICT
    assert (yield from perform(s.take_turn("two", at=SECOND))) is Outcome.DONE
    assert (yield from perform(s.take_turn("one", at=SECOND))) is Outcome.CONFLICT
    assert (yield from perform(s.take_turn("one", at=SECOND + SECOND))) is Outcome.DONE


@case(needs="fleet")
def a_turn_that_was_taken_in_the_future_is_void(s: Stage) -> Steps:
    """T57: a clock was ahead, and is right again: the turn is free at once, and whoever had it can keep its own."""
    for later in (TICK, 3650 * 24 * 3600 * SECOND):
        for ask, outcome in (("take", Outcome.DONE), ("give", Outcome.DONE), ("keep", Outcome.DONE)):
            name = f"{ask} {later}"
            assert (yield from perform(s.take_turn("ahead", name, at=START + later))) is Outcome.DONE
            if ask == "take":
                assert (yield from perform(s.elsewhere(s.take_turn("right", name, at=START)))) is outcome
                assert (yield from perform(s.take_turn("ahead", name, at=START))) is Outcome.CONFLICT
            elif ask == "give":
                assert (yield from perform(s.elsewhere(s.give_turn("right", name, at=START)))) is outcome
            else:
                assert (yield from perform(s.take_turn("ahead", name, at=START))) is outcome
                assert (yield from perform(s.take_turn("right", name, at=SECOND - TICK))) is Outcome.CONFLICT


@case(needs="fleet")
def a_turn_is_given_back_by_its_holder(s: Stage) -> Steps:
    """A turn that its holder gives back is free at once; whoever lost it gives back nothing of the next holder's."""
    yield from perform(s.take_turn("one"))
    assert (yield from perform(s.give_turn("two"))) is Outcome.CONFLICT
    assert (yield from perform(s.take_turn("two"))) is Outcome.CONFLICT
    assert (yield from perform(s.give_turn("one"))) is Outcome.DONE
    assert (yield from perform(s.elsewhere(s.take_turn("two")))) is Outcome.DONE
    assert (yield from perform(s.give_turn("one"))) is Outcome.CONFLICT
    assert (yield from perform(s.take_turn("one"))) is Outcome.CONFLICT


@case(needs="fleet")
def a_turn_may_be_taken_and_given_back_again(s: Stage) -> Steps:
    """A turn that is taken or given back once more, as after a lost reply, is done as before and changes nothing."""
    taken, given = s.take_turn("one"), s.give_turn("one")
    for command in (taken, taken, given, given):
        assert (yield from perform(s.elsewhere(command))) is Outcome.DONE
    assert (yield from perform(s.give_turn("two", "never taken"))) is Outcome.DONE


@race
class OneHasTheTurn(Race):
    """Of callers who ask for one turn at once exactly one gets it, and the others are refused."""

    needs = "fleet"

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        return (yield from perform(s.take_turn(f"caller-{number}", subject)))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        assert seen.count(Outcome.DONE) == 1
        assert seen.count(Outcome.CONFLICT) == len(seen) - 1
        yield from ()
