"""Tasks on a virtual loop: every order of answers and timers, and none that a real loop cannot produce."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from sessionguard.core.points import apoint, point
from sessionguard.errors import MisuseError
from sessionguard.testing import Profile
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Scenario, primitives
from sessionguard.testing.schedule.tasks import WatchedTask
from tests.testing.schedule.async_programs import AsyncProgram, random_async_program, random_timed_program

LARGE = Budget(schedules=20_000, seconds=60)
SMALL = Budget(schedules=1_200, seconds=60)


def is_complete(program: AsyncProgram) -> bool:
    """Whether source-DPOR finds exactly the outcomes that there are."""
    assert Interleaver("dfs", LARGE, shrink_seconds=0).run(program.build).exhausted
    expected = set(program.outcomes)
    program.outcomes.clear()
    assert Interleaver("dpor", LARGE, shrink_seconds=0).run(program.build).exhausted
    return program.outcomes == expected


def test_dpor_finds_exactly_the_outcomes_there_are(sg_profile: Profile) -> None:
    """On random programs with locks, events, timeouts and children its outcomes are those of all schedules."""
    programs = [random_async_program(random.Random(seed)) for seed in range(sg_profile.programs)]
    assert [program for program in programs if not is_complete(program)] == []


def test_dpor_loses_nothing_where_time_limits_meet(sg_profile: Profile) -> None:
    """On longer random programs with time limits its outcomes are those of all schedules, as far as those are few."""
    programs = [random_timed_program(random.Random(seed)) for seed in range(sg_profile.programs // 2)]
    few = [each for each in programs if Interleaver("dfs", SMALL, shrink_seconds=0).run(each.build).exhausted]
    assert len(few) > len(programs) / 3
    for program in few:
        program.outcomes.clear()
    assert [program for program in few if not is_complete(program)] == []


def test_a_last_step_that_took_all_others_away_is_told_as_what_it_was() -> None:
    """Where time ends two tasks at once, nobody is asked after it; other orders of that place are tried, too."""
    assert is_complete(AsyncProgram(((("timed", "x"), ("timed", "x")), (("timed", "y"),)), set()))


def test_the_clock_of_the_loop_is_read_before_and_after_time_passes() -> None:
    """Who asks the loop for the time sees both that before a timer and that after it."""

    def setup(s: Scenario, noted: list[str]) -> None:
        async def look() -> None:
            await apoint("look", "x", "r")
            noted.append(f"{asyncio.get_running_loop().time():.0f}")

        s.task("looks", look)
        s.task("sleeps", lambda: asyncio.sleep(5))

    assert outcomes(setup) == outcomes(setup, "dfs") == {("0",), ("5",)}


def test_undeclared_locks_would_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What declares asyncio's own primitives is needed: without it only one order of two holders is found."""
    program = AsyncProgram(((("locked", "x"),),) * 2, set())
    assert is_complete(program)
    monkeypatch.setattr(primitives, "_DECLARING", [])
    assert not is_complete(program)


def test_cancellations_would_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What notes a cancellation in vain is needed: without it no schedule is found in which both come too late."""
    program = AsyncProgram(((("drop", "x"),), (("drop", "y"),)), set())
    assert is_complete(program)
    monkeypatch.setattr(WatchedTask, "cancel", asyncio.Task.cancel)
    assert not is_complete(program)


def outcomes(setup: Callable[[Scenario, list[str]], None], strategy: str = "dpor") -> set[tuple[str, ...]]:
    """Give what a scenario can note down, in all schedules."""
    seen = set()

    def build(s: Scenario) -> None:
        noted: list[str] = []
        setup(s, noted)
        s.check(lambda history: seen.add(tuple(noted)))

    outcome = Interleaver(strategy, LARGE).run(build)
    assert outcome.exhausted, outcome.describe()
    return seen


def test_an_answer_and_its_timeout_come_in_both_orders() -> None:
    """A reply may come before its timeout or after, though nobody sleeps."""

    def setup(s: Scenario, noted: list[str]) -> None:
        async def ask() -> None:
            try:
                async with asyncio.timeout(3600):
                    await apoint("reply", "x", "r")
                    noted.append("reply")
            except TimeoutError:
                noted.append("timeout")

        s.task("a", ask)

    assert outcomes(setup) == {("reply",), ("timeout",)}


def test_callbacks_stay_first_in_first_out() -> None:
    """What real loops never reorder is not reordered here: callbacks run in the order in which they were scheduled."""

    def setup(s: Scenario, noted: list[str]) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            for number in range(5):
                loop.call_soon(noted.append, str(number))
            await asyncio.sleep(0)
            await apoint("end", "x", "w")

        s.task("a", work)

    assert outcomes(setup, "dfs") == {("0", "1", "2", "3", "4")}


def test_tasks_that_a_worker_starts_take_part() -> None:
    """Children of a worker are interleaved with each other and with everybody else."""

    def setup(s: Scenario, noted: list[str]) -> None:
        async def child(name: str) -> None:
            await apoint("child", "x", "w")
            noted.append(name)

        async def parent() -> None:
            await asyncio.gather(child("1"), child("2"))
            noted.append("joined")

        async def other() -> None:
            await apoint("other", "x", "w")
            noted.append("other")

        s.task("a", parent)
        s.task("b", other)

    seen = outcomes(setup)
    assert len({tuple(name for name in order if name != "joined") for order in seen}) == 6
    assert all(order.index("joined") > max(order.index("1"), order.index("2")) for order in seen)
    assert seen == outcomes(setup, "dfs")


def test_time_is_the_scenario_s_clock() -> None:
    """Sleeping moves the virtual clock, at once and exactly; the clock of the loop is the same one."""
    shown = []

    def build(s: Scenario) -> None:
        async def nap() -> None:
            before = s.clock()
            await asyncio.sleep(90)
            shown.append((s.clock() - before).total_seconds())

        s.task("a", nap)

    assert Interleaver().run(build).ok
    assert set(shown) == {90.0}


def test_work_in_an_executor_has_its_turn() -> None:
    """What is handed to a thread is a part of its caller's step: its order is decided, and nothing is proved."""
    seen = set()

    def build(s: Scenario) -> None:
        noted: list[str] = []

        def blocking(name: str) -> str:
            point("write", "x", "w")
            return name

        async def work(name: str) -> None:
            await apoint("begin", "y", "r")
            noted.append(await asyncio.to_thread(blocking, name))

        for name in "ab":
            s.task(name, partial(work, name))
        s.check(lambda history: seen.add(tuple(noted)))

    outcome = Interleaver("dpor", LARGE).run(build)
    assert seen == {("a", "b"), ("b", "a")}
    assert not outcome.exhausted
    assert "a thread that is no worker" in outcome.describe()


def test_work_in_an_executor_without_points_is_no_matter() -> None:
    """What reaches for nothing that is declared may run in a thread, and the search is a proof all the same."""

    def setup(s: Scenario, noted: list[str]) -> None:
        async def work() -> None:
            await apoint("begin", "y", "w")
            noted.append(await asyncio.to_thread(str, 1))

        s.task("a", work)
        s.task("b", work)

    assert outcomes(setup) == {("1", "1")}


def test_a_callback_of_the_loop_is_a_part_of_the_step() -> None:
    """What a callback reaches for is an access like any other: others come before it and after it."""

    def setup(s: Scenario, noted: list[str]) -> None:
        def write() -> None:
            point("write", "x", "w")
            noted.append("callback")

        async def work() -> None:
            await apoint("begin", "y", "r")
            asyncio.get_running_loop().call_soon(write)

        async def read() -> None:
            await apoint("read", "x", "r")
            noted.append("read")

        s.task("a", work)
        s.task("b", read)

    assert outcomes(setup) == {("callback", "read"), ("read", "callback")}


def test_a_task_that_waits_for_ever_is_told() -> None:
    """A worker that nothing wakes any more fails the schedule; it is cancelled, and no warning is left behind."""

    def build(s: Scenario) -> None:
        async def work() -> None:
            await apoint("before", "x", "w")
            await asyncio.Event().wait()

        s.task("a", work)

    outcome = Interleaver().run(build)
    assert outcome.failure is not None
    assert outcome.failure.verdict.reason == "hung"


def test_a_race_of_tasks_is_shrunk_and_repeated() -> None:
    """A check-then-insert of four tasks comes down to two tasks and one preemption, and back by its id."""

    def build(s: Scenario) -> None:
        rows: dict[str, str] = {}

        async def get_or_create(me: str) -> None:
            with s.history.record(me, "get_or_create", key="alice") as op:
                await apoint("SELECT", "alice", "r")
                if "alice" not in rows:
                    await apoint("INSERT", "alice", "w")
                    rows["alice"] = me
                op.ok(rows["alice"])

        def one_session(history: History) -> None:
            assert len({operation.result for operation in history.operations}) <= 1

        for name in "abcd":
            s.task(name, partial(get_or_create, name))
        s.check(one_session)

    failure = Interleaver().run(build).failure
    assert failure is not None
    assert len(failure.minimal.workers) == 2
    assert failure.minimal.preemptions == 1
    for _ in range(100):
        again = Interleaver().run(build, replay=failure.replay_id)
        assert again.failure is not None
        assert again.replay_is_faithful


def test_threads_and_tasks_are_not_mixed() -> None:
    """A scenario with both is refused."""

    async def nothing() -> None:
        return

    def build(s: Scenario) -> None:
        s.worker("a", int)
        s.task("b", nothing)

    with pytest.raises(MisuseError, match="both threads and tasks"):
        Interleaver().run(build)


def test_what_a_task_raises_is_a_failure() -> None:
    """An error that leaves a task is found; being cancelled is none."""

    async def fails() -> None:
        await apoint("before", "x", "w")
        raise KeyError("alice")

    async def is_cancelled() -> None:
        await apoint("before", "x", "w")
        raise asyncio.CancelledError

    def run(work: Callable[[], Awaitable[None]]) -> str | None:
        failure = Interleaver("serial").run(lambda s: s.task("a", work)).failure
        return None if failure is None else failure.verdict.judge

    assert run(fails) == "KeyError"
    assert run(is_cancelled) is None


def poll(flag: list[bool]) -> Callable[[Scenario], None]:
    """Give a scenario with a task that polls, and, if `flag` is empty, another that ends that."""

    def build(s: Scenario) -> None:
        done: list[bool] = list(flag)

        async def ask() -> None:
            await apoint("ask", "x", "r")
            while True not in done:  # noqa: ASYNC110 - this is the code that is told apart here
                await asyncio.sleep(0)

        async def answer() -> None:
            await apoint("answer", "x", "w")
            done.append(not flag)

        s.task("asks", ask)
        s.task("answers", answer)

    return build


def test_a_task_that_polls_lets_others_go_on() -> None:
    """A task that asks all the time does not hang the search; that it was passed over is told, and nothing proved."""
    outcome = Interleaver(budget=Budget(schedules=20, seconds=20)).run(poll([]))
    assert outcome.ok
    assert outcome.has_blocked
    assert not outcome.exhausted


def test_a_task_that_polls_for_ever_is_told() -> None:
    """What it asks for never comes: the schedule ends, as one in which it waits for ever."""
    failure = Interleaver(budget=Budget(schedules=20, seconds=20)).run(poll([False])).failure
    assert failure is not None
    assert failure.verdict.reason == "hung"
