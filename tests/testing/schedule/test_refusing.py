"""What would do nothing is refused: checks that cannot object, and parts that nobody plays."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from sessionguard.core.points import apoint, point
from sessionguard.errors import MisuseError
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Interleaver, Scenario
from sessionguard.testing.schedule.participant import Participant


async def coroutine_check(history: History) -> None:
    """An assertion that nobody reaches."""
    raise AssertionError


@pytest.mark.parametrize("check", [lambda h: False, lambda h: True, coroutine_check, lambda h: iter("ab")])
def test_a_check_that_cannot_object_is_refused(check: Callable[[History], Any]) -> None:
    """A check raises, or gives a verdict or None; whatever else it gives would be taken for "all is well"."""

    def scenario(s: Scenario) -> None:
        s.worker("a", lambda: point("x", "x", "w"))
        s.check(check)

    with pytest.raises(MisuseError, match="a check is a plain function that raises"):
        Interleaver().run(scenario)


async def coroutine() -> None:
    """Reaches a point, if it is awaited."""
    await apoint("x", "x", "w")


def generator() -> Iterator[None]:
    """Reaches a point, if it is iterated."""
    point("x", "x", "w")
    yield


async def async_generator() -> AsyncIterator[None]:
    """The same for a task."""
    await apoint("x", "x", "w")
    yield


@pytest.mark.parametrize("function", [coroutine, partial(coroutine), generator, async_generator])
def test_a_part_of_a_thread_that_does_nothing_is_refused(function: Callable[[], Any]) -> None:
    """A thread calls its parts and awaits nothing; the refusal comes as the scenario is set up."""
    with pytest.raises(MisuseError, match=r"s\.task|a call does nothing"):
        Scenario().worker("a", function)


@pytest.mark.parametrize("function", [generator, async_generator])
def test_a_part_of_a_task_that_does_nothing_is_refused(function: Callable[[], Any]) -> None:
    """A task awaits its parts; a generator is no such thing."""
    with pytest.raises(MisuseError, match="a call does nothing"):
        Scenario().task("a", function)


async def remote_coroutine(me: Participant) -> None:
    """Does nothing if it is only called."""


def calls_a_coroutine(me: Participant) -> object:
    """Give a coroutine to whoever called, who does not await it."""
    point("x", "x", "w")
    return coroutine()


def test_a_coroutine_that_a_thread_gives_back_is_told() -> None:
    """Also where only the call shows that something would have to be awaited, the schedule fails."""

    def scenario(s: Scenario) -> None:
        s.worker("a", lambda: coroutine())
        s.worker("b", lambda: point("x", "x", "w"))

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert "has to be awaited, so nothing was done" in failure.verdict.message


def test_a_coroutine_in_a_process_is_refused() -> None:
    """So it is in a process, as the scenario is set up or when it is given back."""
    with pytest.raises(MisuseError, match=r"s\.task"):
        Scenario().process("a", remote_coroutine)

    def scenario(s: Scenario) -> None:
        s.process("a", calls_a_coroutine)

    failure = Interleaver().run(scenario).failure
    assert failure is not None
    assert "has to be awaited, so nothing was done" in failure.verdict.message
