"""Gate mode: tasks on a real loop, with real sockets, of which one at a time is let through its point.

It asks of a loop only an event, so it works on asyncio, uvloop and trio. A task that reaches no point within 20 ms is
taken to wait for an answer from outside; it is noted as blocked, and the next one is let through. What the network does
is not decided here, so nothing is ever proved in this mode.
"""

import time
from collections.abc import Hashable, Sequence
from typing import Final

from sessionguard.core import points
from sessionguard.testing.schedule.accesses import START, Point
from sessionguard.testing.schedule.real_loops import RealLoop, Signal, run
from sessionguard.testing.schedule.tasks import Body, Cast
from sessionguard.testing.schedule.threads import Patience
from sessionguard.testing.schedule.track import NOBODY, Track

_IO_SECONDS: Final = 0.02
_IO_SECONDS_WITH_DRIVERS: Final = 0.25
"""Where every access of a driver is a point: then a task is far more often late than waiting for another one."""
_BREATHS: Final = 3
"""How many rounds of the loop it takes until a task that was woken has come to its next point."""


class GateRun:
    """Plays workers as tasks of a real loop. `play` returns when every worker has ended or none can go on."""

    def __init__(
        self, track: Track, bodies: Sequence[Body], loop: str, patience: Patience | None = None, *, io: bool = False
    ) -> None:
        self.errors: dict[int, BaseException] = {}
        """What workers raised."""
        self.hung: list[int] = []
        """Who waited to the end for something that did not come."""
        self._track, self._bodies, self._loop_name = track, bodies, loop
        self._patience = patience or Patience()
        self._io_seconds = _IO_SECONDS_WITH_DRIVERS if io else _IO_SECONDS
        self._cast = Cast(track)
        self._gates: dict[int, Signal] = {}
        self._running: set[int] = set()
        self._blocked: set[int] = set()
        self._left = set(range(len(bodies)))
        self._closing = False

    def play(self) -> None:
        """Run the tasks to their end, or to where none can go on. Raises what the strategy raised."""
        with points.installed(self._at_point, self._at_apoint):
            run(self._loop_name, self._conduct)

    def current(self) -> int:
        """Give the number of the worker that asks, or `NOBODY`."""
        return self._cast.current()

    # What tasks do

    async def _play_body(self, number: int) -> None:
        self._cast.begin(number)
        try:
            await self._at_apoint(*START)
            await self._bodies[number]()
        except Exception as error:
            if not self._closing:
                self.errors[number] = error
        finally:
            self._left.discard(number)
            self._arrive(number, None)

    def _at_point(self, label: str, resource: Hashable, mode: str) -> None:
        if not (self._closing or self._track.is_looking()) and self._cast.current() != NOBODY:
            self._cast.access(label, resource, mode)

    async def _at_apoint(self, label: str, resource: Hashable, mode: str) -> None:
        if self._closing:
            return
        number = self._cast.enter()
        self._gates[number] = gate = self._loop.signal()
        self._arrive(number, self._track.point(label, resource, mode))
        try:
            await gate.wait()
        finally:
            if self._gates.pop(number, None) is not None:  # It was cancelled where it stood.
                self._arrive(number, None)

    def _arrive(self, number: int, point: Point | None) -> None:
        if self._closing:
            return
        self._running.discard(number)
        self._blocked.discard(number)
        self._cast.arrive(number, point)
        self._progress.set()

    # Who goes on

    async def _conduct(self, loop: RealLoop) -> None:
        self._loop, self._progress = loop, loop.signal()
        self._cast = Cast(self._track, loop.current_task)
        self._running = set(self._left)
        for number in range(len(self._bodies)):
            loop.spawn(self._play_body, number)
        try:
            while await self._is_quiet():
                self._let_through()
        finally:
            self.hung = sorted(self._blocked & self._left)
            self._closing = True

    async def _is_quiet(self) -> bool:
        """Wait until nobody runs and somebody can go on; False when that will not be any more."""
        since = time.monotonic()
        while self._left:
            has_come = await self._see_who_comes()
            if self._running and not has_come:
                self._blocked |= self._running
                self._running.clear()
                self._track.block()
            if not self._running:
                if self._track.enabled():
                    return True
                if not self._blocked or time.monotonic() - since > self._patience.hang_seconds:
                    return False
        return False

    async def _see_who_comes(self) -> bool:
        """Wait a while for someone to come to a point or to its end; give whether anyone did."""
        await self._loop.wait(self._progress, self._io_seconds)
        for _ in range(_BREATHS):
            await self._loop.breathe()
        before, self._progress = self._progress, self._loop.signal()
        return before.is_set()

    def _let_through(self) -> None:
        chosen = self._track.decide()
        self._running = {chosen}
        self._cast.go_on(chosen)
        self._gates.pop(chosen).set()
