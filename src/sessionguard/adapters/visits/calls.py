"""What a visit may ask of a guard, and the two drivers that run its flows on a blocking or on an async guard.

A flow is a generator that yields calls and is sent what they give; what goes wrong, cancellation too, is thrown into
it where it waits.
"""

from collections.abc import Awaitable, Generator, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from attrs import define, field

from sessionguard.adapters.visits.queueing import enter
from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.core.session import Session
from sessionguard.errors import SessionEndedError
from sessionguard.guard import SessionGuard
from sessionguard.offloading import in_thread

R = TypeVar("R")


# Not frozen: every request makes one, and freezing it would take half of the time that its flow takes.
@define
class Call:
    """Call the guard's method `verb`."""

    verb: str
    arguments: tuple[Any, ...] = field(repr=False)
    """A token may be among them."""
    options: Mapping[str, Any] = field(repr=False)

    def take(self, guard: SessionGuard) -> Any:
        """Give what a blocking guard gives."""
        return getattr(guard, self.verb)(*self.arguments, **self.options)


@define
class Make(Call):
    """Call the guard's method `verb`, which asks no store: no guard has it awaited."""


@define
class Collect(Call):
    """Call the guard's method `verb` and gather all that it iterates over."""

    def take(self, guard: SessionGuard) -> Any:
        """Give all that a blocking guard gives."""
        return tuple(getattr(guard, self.verb)(*self.arguments, **self.options))


@define
class Enter:
    """Take `lock`, waiting for those who hold it."""

    lock: Any

    def take(self, guard: SessionGuard) -> Any:
        """Wait for a lock of a blocking guard."""
        return self.lock.__enter__()


@define
class Leave:
    """Give `lock` back."""

    lock: Any

    def take(self, guard: SessionGuard) -> Any:
        """Give back a lock of a blocking guard."""
        return self.lock.__exit__(None, None, None)


Step = Call | Enter | Leave
Flow = Generator[Step, Any, R]


def ask(verb: str, *arguments: Any, **options: Any) -> Flow[Any]:
    """Call the guard's method `verb` and give what it gives."""
    return (yield Call(verb, arguments, options))


def collect(verb: str, *arguments: Any, **options: Any) -> Flow[tuple[Any, ...]]:
    """Call the guard's method `verb` and give all that it iterates over."""
    found: tuple[Any, ...] = yield Collect(verb, arguments, options)
    return found


def seen(session: Session) -> Flow[Session | None]:
    """Give `session`, which is in use, with that written down when due; None if it is over by now.

    For sessions that were not found by their token, of which `load` would have done it.
    """
    try:
        found: Session = yield Call("touch", (session,), {"when_due": True})
    except SessionEndedError:
        return None
    return found


# The drivers


def run(flow: Flow[R], guard: SessionGuard) -> R:
    """Run `flow` to its end on a blocking guard."""
    try:
        step = next(flow)
        while True:
            try:
                reply = step.take(guard)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        result: R = done.value
        return result
    finally:
        flow.close()


class Taker(Protocol):
    """Takes steps for somebody who awaits them."""

    def __call__(self, step: Step) -> Awaitable[Any]:
        """Give what `step` gives."""


async def run_async(flow: Flow[R], taken: Taker) -> R:
    """Run `flow` to its end with steps that `taken` takes."""
    try:
        step = next(flow)
        while True:
            try:
                reply = await taken(step)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        result: R = done.value
        return result
    finally:
        flow.close()


def taker_of(guard: SessionGuard | AsyncSessionGuard) -> Taker:
    """Give what takes steps on `guard` without holding up the event loop; a blocking guard runs in threads."""
    return partial(_awaited, guard) if isinstance(guard, AsyncSessionGuard) else partial(_in_thread, guard)


async def _awaited(guard: AsyncSessionGuard, step: Step) -> Any:
    if isinstance(step, Call):
        reply = getattr(guard, step.verb)(*step.arguments, **step.options)
        if isinstance(step, Collect):
            return tuple([found async for found in reply])
        return reply if isinstance(step, Make) else await reply
    if isinstance(step, Enter):
        return await step.lock.__aenter__()
    return await step.lock.__aexit__(None, None, None)


async def _in_thread(guard: SessionGuard, step: Step) -> Any:
    if isinstance(step, Enter):
        return await enter(guard, step.lock)
    return await in_thread(partial(step.take, guard))
