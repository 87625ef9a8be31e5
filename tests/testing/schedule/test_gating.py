"""Gate mode: tasks on real loops, let through their points one at a time."""

import asyncio
import importlib
import importlib.util
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from sessionguard.core.points import apoint
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Patience, Scenario


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def loop(request: pytest.FixtureRequest) -> str:
    """Each real loop that is installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def race(s: Scenario, reply: Callable[[], Awaitable[object]] | None = None) -> None:
    """Let two tasks look first and insert afterwards."""
    rows: dict[str, str] = {}

    async def get_or_create(me: str) -> None:
        with s.history.record(me, "get_or_create", key="alice") as op:
            await apoint("SELECT", "alice", "r")
            if "alice" not in rows:
                await apoint("INSERT", "alice", "w")
                if reply is not None:
                    await reply()
                rows["alice"] = me
            op.ok(rows["alice"])

    def one_session(history: History) -> None:
        assert len({operation.result for operation in history.operations}) <= 1

    for name in "ab":
        s.task(name, partial(get_or_create, name))
    s.check(one_session)


def test_a_race_is_found_and_repeated_on_a_real_loop(loop: str) -> None:
    """The same search finds the race on every loop, and an id that was found on one repeats it."""
    failure = Interleaver("dpor", loop=loop).run(race).failure
    assert failure is not None
    assert failure.schedules <= 2
    assert failure.replay_id == "sg1:a@INSERT#1;b@end;a@end"
    assert Interleaver(loop=loop).run(race, replay=failure.replay_id).failure is not None


def test_waiting_for_the_network_is_passed_over(loop: str) -> None:
    """A task that waits for an answer from outside is noted, and the others go on in the meantime."""

    async def answer() -> None:
        if loop == "trio":
            await importlib.import_module("trio").sleep(0.05)
        else:
            await asyncio.sleep(0.05)

    outcome = Interleaver("serial", Budget(schedules=2), loop=loop, shrink_seconds=0.0).run(partial(race, reply=answer))
    assert outcome.has_blocked


def test_nothing_is_proved_on_a_real_loop(loop: str) -> None:
    """Even when nothing is left to try, what the network does was not explored."""

    def build(s: Scenario) -> None:
        s.task("a", partial(apoint, "look", "x", "r"))

    outcome: Outcome = Interleaver("dpor", loop=loop).run(build)
    assert outcome.ok
    assert not outcome.exhausted


def test_a_task_that_never_comes_back_is_told() -> None:
    """The schedule is given up, and the task cancelled."""

    def build(s: Scenario) -> None:
        async def work() -> None:
            await apoint("before", "x", "w")
            await asyncio.Event().wait()

        s.task("a", work)

    patience = Patience(hang_seconds=0.1)
    outcome = Interleaver("serial", loop="asyncio", patience=patience, shrink_seconds=0.0).run(build)
    assert outcome.failure is not None
    assert outcome.failure.verdict.reason == "hung"


def test_an_unknown_loop_is_refused() -> None:
    """The error names those there are."""
    with pytest.raises(InvalidArgumentError, match="asyncio, uvloop, trio"):
        Interleaver(loop="curio").run(race)
