"""The thread engine: real threads that hand one baton on, so that exactly one of them runs at a time.

A worker that reaches a point decides itself who goes on: there is no controlling thread, and to keep running costs no
switch between threads. The caller of `play` only waits, and watches for a worker that reaches no point in time. Such a
worker waits for something undeclared (a lock of a driver, a reply); it is noted as blocked, and the baton is passed on.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from attrs import frozen

from sessionguard.core import points
from sessionguard.testing.schedule.accesses import Point
from sessionguard.testing.schedule.pool import Abandoned, Pool, Seat
from sessionguard.testing.schedule.stalling import is_stalled
from sessionguard.testing.schedule.track import NOBODY, Track
from sessionguard.testing.schedule.whereabouts import told_waiting

_POINTS_WHILE_UNWINDING: Final = 10_000


@frozen
class Patience:
    """How long the engine waits for a worker."""

    point_seconds: float = 0.05
    """To reach its next point, before the baton is passed on without it."""
    hang_seconds: float = 5.0
    """To come back when nobody else can go on, before the schedule is given up; also the longest that a step takes."""


class ThreadRun:
    """One schedule in threads. `play` returns when every worker has ended or none can go on."""

    def __init__(
        self, track: Track, bodies: Sequence[Callable[[], None]], pool: Pool, patience: Patience | None = None
    ) -> None:
        self.errors: dict[int, BaseException] = {}
        """What workers raised."""
        self.hung: list[int] = []
        """Who was blocked until the end."""
        self._track, self._bodies, self._pool = track, bodies, pool
        self._patience = patience or Patience()
        self._seats = pool.take(len(bodies))
        self._caller = threading.get_ident()
        self._to_start = 0
        self._running = NOBODY
        self._reached = 0
        self._blocked: set[int] = set()
        self._ended: set[int] = set()
        self._unwinding: set[int] = set()
        self._is_idle = False
        self._closing = False
        self._fault: BaseException | None = None
        self._mutex = threading.Lock()
        self._over = threading.Lock()
        self._over.acquire()
        self._unwound = threading.Semaphore(0)

    def play(self) -> None:
        """Run the workers to their end, or to where none can go on. Raises what the strategy raised."""
        with points.installed(self._at_point):
            try:
                self._hand_to(self._next())
                self._oversee()
            finally:
                self._unwind()
        if self._fault is not None:
            raise self._fault

    def current(self) -> int:
        """Give the number of the worker that asks, or `NOBODY`."""
        seat = self._pool.by_thread.get(threading.get_ident())
        return NOBODY if seat is None else seat.number

    # What workers do

    def _at_point(self, label: str, resource: Hashable, mode: str) -> None:
        if self._track.is_looking():
            return
        seat = self._pool.by_thread.get(threading.get_ident())
        if seat is None:
            # A thread that a worker started, or one from elsewhere: it runs beside the workers, and is not decided.
            self._track.has_strangers |= threading.get_ident() != self._caller
        else:
            if self._closing:
                self._pass_while_unwinding(seat)
            else:
                self._reach(seat, self._track.point(label, resource, mode))

    def _body(self, seat: Seat) -> None:
        try:
            self._bodies[seat.number]()
        except Abandoned:
            pass
        except BaseException as error:
            if not self._closing:  # What goes wrong while it unwinds is no fault of the worker.
                self.errors[seat.number] = error
        if self._closing:
            self._unwound.release()
        else:
            self._reach(seat, None)

    def _reach(self, seat: Seat, point: Point | None) -> None:
        """Stand before `point`, or at the end; hand the baton on, and wait for one's turn."""
        try:
            seat.token.pop()
        except IndexError:
            self._reach_late(seat, point)
        else:
            self._reached += 1
            self._arrive(seat.number, point)
            chosen = self._next()
            if chosen == seat.number and point is not None:
                seat.token.append(None)
                return
            self._hand_to(chosen)
        if point is not None:
            seat.gate.acquire()
            if self._closing:
                self._unwinding.add(seat.number)
                raise Abandoned

    def _reach_late(self, seat: Seat, point: Point | None) -> None:
        """Come back after the baton was passed on; go on deciding only if everybody waits for that."""
        with self._mutex:
            if self._closing:
                if point is None:
                    self._unwound.release()
                    return
                self._unwinding.add(seat.number)
                raise Abandoned
            self._blocked.discard(seat.number)
            self._arrive(seat.number, point)
            was_idle, self._is_idle = self._is_idle, False
        if was_idle:
            self._hand_to(self._next())

    def _arrive(self, worker: int, point: Point | None) -> None:
        self._track.pending[worker] = point
        if point is None:
            self._ended.add(worker)

    # Who goes on

    def _next(self) -> int:
        """Give who goes on: first everyone runs to its first point, then the strategy decides."""
        if self._to_start < len(self._bodies):
            self._to_start += 1
            return self._to_start - 1
        try:
            return self._track.decide()
        except BaseException as error:
            self._fault = error
            return NOBODY

    def _hand_to(self, worker: int) -> None:
        if worker == NOBODY:
            self._stop()
            return
        seat = self._seats[worker]
        self._running = worker
        seat.token.append(None)
        if seat.body is None:
            seat.play(lambda: self._body(seat))
        else:
            seat.gate.release()

    def _stop(self) -> None:
        """Nobody can go on: wait for the blocked ones, or be done."""
        with self._mutex:
            has_late = self._fault is None and bool(self._track.enabled())
            if not has_late and self._blocked and self._fault is None:
                self._is_idle = True
                return
        if has_late:  # It came back after the decision that found nobody.
            self._hand_to(self._next())
        else:
            self._over.release()

    # What the caller does

    def _oversee(self) -> None:
        """Wait for the end, and pass the baton on for workers that reach no point."""
        seen, idle_since, step_since = -1, time.monotonic(), time.monotonic()
        while not self._over.acquire(timeout=self._patience.point_seconds):
            if self._reached != seen or not self._is_idle:
                idle_since = time.monotonic()
            if self._is_idle and time.monotonic() - idle_since > self._patience.hang_seconds:
                self.hung = sorted(self._blocked)
                return
            if self._reached != seen:
                step_since = time.monotonic()
            elif not self._is_idle:
                # One that polls is never still for long; a limit for one step keeps it from going on for ever.
                self._pass_on(time.monotonic() - step_since > self._patience.hang_seconds)
            seen = self._reached

    def _pass_on(self, is_overdue: bool) -> None:
        seat, reached = self._seats[self._running], self._reached
        if not (is_overdue or is_stalled(seat.thread.native_id or 0)) or self._reached != reached:
            return
        told = told_waiting(seat.thread)
        with self._mutex:
            try:
                seat.token.pop()
            except IndexError:
                return
            self._blocked.add(seat.number)
            self._track.block(seat.number, told)
        self._hand_to(self._next())

    def _unwind(self) -> None:
        """Leave no worker behind: each that waits at a point unwinds by an exception, one after the other."""
        with self._mutex:
            self._closing = True
        for seat in self._seats:
            if seat.body is not None and seat.number not in self._ended:
                if self._track.pending[seat.number] is not None:
                    seat.gate.release()
                if not self._unwound.acquire(timeout=self._patience.hang_seconds):
                    self._pool.give_up(seat)
            seat.body = None
            seat.token.clear()

    def _pass_while_unwinding(self, seat: Seat) -> None:
        # Clean-up code passes its points; code that catches everything and goes round again does not do so for ever.
        self._reached += 1
        if seat.number not in self._unwinding or self._reached % _POINTS_WHILE_UNWINDING == 0:
            self._unwinding.add(seat.number)
            raise Abandoned
