"""One schedule of tasks on a virtual loop."""

import asyncio
import threading
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Final

from sessionguard.core import points
from sessionguard.testing.schedule.accesses import CLOCK, START, Point
from sessionguard.testing.schedule.clock import VirtualClock
from sessionguard.testing.schedule.looping import VirtualLoop
from sessionguard.testing.schedule.primitives import declared
from sessionguard.testing.schedule.tasks import Body, Cast, watched_by
from sessionguard.testing.schedule.track import NOBODY, Track

TIME: Final = "(time)"
"""The worker that lets time pass, in the names of a track."""
_TIME_PASSES: Final = Point("time passes", CLOCK, "w")
_ROUNDS_OF_UNWINDING: Final = 20


class AsyncRun:
    """Plays workers as tasks. `play` returns when every worker has ended or none can go on."""

    def __init__(self, track: Track, bodies: Sequence[Body], clock: VirtualClock) -> None:
        self.errors: dict[int, BaseException] = {}
        """What workers raised."""
        self.hung: list[int] = []
        """Who waits for something that never comes, at no point of its own."""
        self._track, self._bodies = track, bodies
        self._cast = Cast(track)
        self._time = track.join(TIME)
        self._parked: dict[int, asyncio.Future[None]] = {}
        self._left = set(range(len(bodies)))
        self._closing = False
        self._thread = threading.get_ident()
        self._fault: BaseException | None = None
        self._loop = VirtualLoop(clock, self._when_quiet, track.block)
        clock.is_moving = True

    def current(self) -> int:
        """Give the number of the worker that asks, or `NOBODY`."""
        return self._cast.current()

    def play(self) -> None:
        """Run the tasks to their end, or to where none can go on. Raises what the strategy raised."""
        with points.installed(self._at_point, self._at_apoint), declared():
            try:
                # Referred to until the end: a loop keeps no task that waits from being collected.
                tasks = [
                    self._loop.create_task(self._play_body(number, body), name=self._track.names[number])
                    for number, body in enumerate(self._bodies)
                ]
                self._loop.set_task_factory(watched_by(self._cast))
                self._loop.run_forever()
                self.hung = [number for number in sorted(self._left) if self._track.pending[number] is None]
                self._unwind()
                del tasks
            finally:
                self._track.pending[self._time] = None
                self._loop.close()
        if self._fault is not None:
            raise self._fault

    # What tasks do

    async def _play_body(self, number: int, body: Body) -> None:
        self._cast.begin(number)
        try:
            await self._at_apoint(*START)
            await body()
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            if not self._closing:
                self.errors[number] = error
        finally:
            if not self._closing:
                self._left.discard(number)
                self._cast.arrive(number, None)

    def _at_point(self, label: str, resource: Hashable, mode: str) -> None:
        if self._closing or self._track.is_looking():
            return
        if threading.get_ident() != self._thread or self._loop.is_lending:
            self._track.has_strangers = True
        if threading.get_ident() == self._thread:  # Also of a callback of the loop: it is a part of the step.
            self._cast.access(label, resource, mode)

    async def _at_apoint(self, label: str, resource: Hashable, mode: str) -> None:
        if self._closing:
            return
        number = self._cast.enter()
        self._parked[number] = future = self._loop.create_future()
        self._cast.arrive(number, self._track.point(label, resource, mode))
        try:
            await future
        finally:
            self._parked.pop(number, None)
            if self._track.pending[number] is not None and not self._closing:
                self._cast.arrive(number, None)  # It was cancelled where it stood.

    # Who goes on

    def _when_quiet(self, seconds_to_timer: float | None) -> None:
        """Nothing is left to run: take the next decision."""
        if self._closing or not self._left:
            self._loop.stop()
            return
        self._track.pending[self._time] = None if seconds_to_timer is None else _TIME_PASSES
        try:
            chosen = self._track.decide()
        except BaseException as error:
            self._fault = error
            chosen = NOBODY
        if chosen == NOBODY:
            self._loop.stop()
        elif chosen == self._time:
            assert seconds_to_timer is not None
            self._loop.pass_time(seconds_to_timer)
        else:
            self._cast.go_on(chosen)
            self._parked[chosen].set_result(None)

    def _unwind(self) -> None:
        """Leave no task behind: all are cancelled, and pass their points."""
        self._closing = True
        self._loop.set_task_factory(None)
        self._loop.set_exception_handler(lambda loop, context: None)
        for _ in range(_ROUNDS_OF_UNWINDING):
            tasks = asyncio.all_tasks(self._loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            with suppress(RuntimeError):  # A task that goes on waiting stops the loop; it is cancelled again.
                self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
