"""The asyncio engine: a loop without sockets, in which time stands still until the strategy lets it pass.

Callbacks run first in, first out, as on every real loop; the only choices are which `await apoint()` goes on next (the
order in which answers arrive) and when the clock moves on to the next timer. They are taken when nothing else is left
to run. So every order that is tried is one that a real loop can produce.
"""

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from datetime import timedelta
from typing import Any, Final

from sessionguard.core.points import point
from sessionguard.testing.schedule.accesses import CLOCK
from sessionguard.testing.schedule.clock import VirtualClock

_MICROSECOND: Final = 1e-6
_ROUNDS_OF_POLLING: Final = 1_000
"""So many rounds with something ready and no decision: a task asks again and again, and others must go on."""

Quiet = Callable[[float | None], None]
"""Called when nothing is ready, with the seconds to the next timer, or None."""


class VirtualLoop(BaseEventLoop):
    """An event loop on a virtual clock. Real sockets and processes do not exist in it; use a real loop for those."""

    def __init__(self, clock: VirtualClock, when_quiet: Quiet, is_polled: Callable[[], None]) -> None:
        super().__init__()
        self.is_lending = False
        """Whether what runs now would run in a thread of its own on a real loop."""
        self._is_polled = is_polled
        self._clock = clock
        self._selector = _Selector(when_quiet, self._take_decision)
        # The virtual clock counts microseconds; a timer that is nearer than one is due.
        self._clock_resolution = _MICROSECOND

    def time(self) -> float:
        """Give the seconds that the virtual clock shows since its start; for a task that is an access to the clock."""
        if asyncio.current_task(self) is not None:  # The loop itself looks at it all the time.
            point("clock", CLOCK, "r")
        return self._clock.peek_seconds()

    def _take_decision(self) -> None:
        """Let the schedule go on, although something is ready all the time."""
        self._is_polled()
        scheduled = [handle.when() for handle in self._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        self._selector.when_quiet(max(0.0, min(scheduled) - self.time()) if scheduled else None)

    def pass_time(self, seconds: float) -> None:
        """Move the clock on to a timer that is so far away."""
        self._clock.advance(timedelta(microseconds=max(1, round(seconds * 1e6))))

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Give a future for what `func` returns; it runs here and now, as a part of the caller's step.

        On a real loop others run beside it, so a schedule in which it comes to a point proves nothing.
        """
        future = self.create_future()
        was_lending, self.is_lending = self.is_lending, True
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        finally:
            self.is_lending = was_lending
        return future

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back when the clock has come there; setting a timer is an access to the clock."""
        point("timer", CLOCK, "r")
        return super().call_at(when, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        point("timer", CLOCK, "r")
        super()._timer_handle_cancelled(handle)  # type: ignore[misc]

    def _ignore(self, events: object) -> None:
        """There are no events from outside."""

    _process_events = _ignore

    def _write_to_self(self) -> None:
        pass


class _Selector:
    """Stands where a real loop waits for the network."""

    def __init__(self, when_quiet: Quiet, when_polled: Callable[[], None]) -> None:
        self.when_quiet, self._when_polled = when_quiet, when_polled
        self._rounds = 0

    def select(self, timeout: float | None) -> list[object]:
        """Report nothing, but let the schedule go on if nothing else would."""
        self._rounds += 1
        if timeout is None or timeout >= _MICROSECOND:
            self._rounds = 0
            self.when_quiet(timeout)
        elif self._rounds >= _ROUNDS_OF_POLLING:
            self._rounds = 0
            self._when_polled()
        return []

    def close(self) -> None:
        """Nothing to close."""
