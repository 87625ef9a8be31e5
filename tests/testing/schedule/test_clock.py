"""The virtual clock: it stands still, moves exactly, and is read like anything else that is shared."""

from datetime import UTC, datetime, timedelta

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Interleaver, Scenario, VirtualClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_it_shows_what_it_was_set_to() -> None:
    """All readings agree, to the microsecond; seconds, durations and steps back are exact."""
    clock = VirtualClock(START)
    assert clock() == START
    clock.advance(timedelta(microseconds=1))
    clock.advance(0.1)
    assert clock() == START + timedelta(microseconds=100_001)
    assert clock.monotonic() == 0.100_001
    assert clock.time() == START.timestamp() + 0.100_001
    clock.advance(timedelta(hours=-1))
    assert clock() < START
    clock.set(START)
    assert clock.us() == int(START.timestamp() * 1_000_000)


def test_every_reading_may_come_before_or_after_the_clock_moves() -> None:
    """With a clock actor both readings of a worker see all combinations that time allows."""
    seen = set()

    def scenario(s: Scenario) -> None:
        shown: list[float] = []

        def read() -> None:
            shown.append(s.clock.monotonic())
            shown.append(s.clock.monotonic())

        s.worker("a", read)
        s.clock_actor([30.0, timedelta(seconds=-10)])
        s.check(lambda history: seen.add(tuple(shown)))

    assert Interleaver("dpor").run(scenario).exhausted
    assert seen == {(0, 0), (0, 30), (0, 20), (30, 30), (30, 20), (20, 20)}


def test_without_an_actor_reading_it_is_no_decision() -> None:
    """A clock that nobody moves adds no schedules."""

    def scenario(s: Scenario) -> None:
        def work() -> None:
            s.clock()
            point("read", "x", "r")
            s.clock()

        for name in "ab":
            s.worker(name, work)

    assert Interleaver("dfs").run(scenario).schedules == 2


def test_operations_carry_the_instants_of_the_clock() -> None:
    """A recorded operation knows what the virtual clock showed when it was called and when it returned."""
    told = []

    def scenario(s: Scenario) -> None:
        def work() -> None:
            with s.history.record("a", "wait") as op:
                s.clock.advance(5)
                op.ok()

        def look(history: History) -> None:
            (operation,) = history.operations
            assert operation.clock_at_call is not None
            assert operation.clock_at_ret is not None
            told.append(operation.clock_at_ret - operation.clock_at_call)

        s.worker("a", work)
        s.check(look)

    assert Interleaver("serial").run(scenario).ok
    assert set(told) == {5_000_000}
