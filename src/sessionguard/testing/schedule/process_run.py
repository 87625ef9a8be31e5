"""The process engine: children stop at their points and report them through pipes; the parent lets one go on."""

import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any, Final, cast

from sessionguard.testing.schedule.accesses import CLOCK, Point
from sessionguard.testing.schedule.children import Child, Children
from sessionguard.testing.schedule.faults import SIGNALS, FaultStep, life_of
from sessionguard.testing.schedule.frames import ProcessError
from sessionguard.testing.schedule.participant import Go, Order, RemotePart, Report, operations_of
from sessionguard.testing.schedule.scenario import ClockStep, Scenario, Worker
from sessionguard.testing.schedule.stalling import is_process_stalled
from sessionguard.testing.schedule.threads import Patience
from sessionguard.testing.schedule.track import NOBODY, Track

_STARTING_SECONDS: Final = 30.0
"""A child that is started for its first order has Python to start and modules to import."""


class ProcessRun:
    """One schedule in processes. `play` returns when every worker has ended or none can go on."""

    def __init__(self, track: Track, scenario: Scenario, children: Children, patience: Patience) -> None:
        self.errors: dict[int, BaseException] = {}
        """What workers raised, or that their process died unasked."""
        self.hung: list[int] = []
        """Who was blocked until the end."""
        self._track, self._scenario, self._patience = track, scenario, patience
        self._workers: Sequence[Worker] = scenario.workers
        self._places = {worker.name: number for number, worker in enumerate(self._workers)}
        remote = [number for number, worker in enumerate(self._workers) if worker.kind == "process"]
        self._children: dict[int, Child] = dict(zip(remote, children.take(len(remote)), strict=True))
        self._reports: list[Report | None] = [None] * len(self._workers)
        self._steps: dict[int, list[Any]] = {}
        """What is left of each actor."""
        self._under_way: set[int] = set()
        self._stopped: dict[int, Point | None] = {}
        """Who is stopped, with the point it stands before."""

    def play(self) -> None:
        """Run the workers to their end, or to where none can go on. Raises what the strategy raised."""
        try:
            self._start()
            while (chosen := self._decide()) != NOBODY:
                self._let_go(chosen)
                self._hear(chosen)
        finally:
            self._unwind()
            self._scenario.history.add(operations_of(self._reports))

    def current(self) -> int:
        """Nobody in this process is a worker."""
        return NOBODY

    def _start(self) -> None:
        """Let everyone come to its first point, one after the other."""
        for number, worker in enumerate(self._workers):
            if number not in self._children:
                self._steps[number] = list(worker.parts)
                self._show_next(number)
                continue
            parts = cast("tuple[RemotePart, ...]", worker.parts)
            self._send(number, Order(worker.name, parts, self._scenario.seed, self._scenario.clock.is_moving))
            self._under_way.add(number)
            self._hear(number, _STARTING_SECONDS)

    def _decide(self) -> int:
        """Give who goes on; where nobody can, wait for those who are blocked."""
        give_up = time.monotonic() + self._patience.hang_seconds
        while True:
            self._hear_late()
            chosen = self._track.decide()
            if chosen != NOBODY or not self._under_way:
                return chosen
            if time.monotonic() > give_up:
                self.hung = sorted(self._under_way)
                return NOBODY
            wait([self._children[number].pipe for number in self._under_way], self._patience.point_seconds)

    def _let_go(self, chosen: int) -> None:
        if chosen in self._steps:
            self._act(self._steps[chosen].pop(0))
            self._show_next(chosen)
            return
        self._track.note(Point("lives", life_of(self._track.names[chosen]), "r"))
        self._send(chosen, Go(self._track.now, self._scenario.clock.peek_us()))
        self._under_way.add(chosen)

    def _send(self, number: int, message: Order | Go) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # It died; that is noticed when its report is read.
            self._children[number].pipe.send(message)

    # What actors do

    def _act(self, step: ClockStep | FaultStep) -> None:
        if isinstance(step, ClockStep):
            self._scenario.clock.advance(step.by)
            return
        victim = self._places.get(step.victim)
        if victim is None or victim not in self._children:
            return
        child = self._children[victim]
        if step.fault == "kill":
            child.kill()
            self._under_way.discard(victim)
            self._stopped.pop(victim, None)
            self._track.lose(victim)
            del self._children[victim]
            return
        child.signal(SIGNALS[step.fault])
        if step.fault == "stop":
            self._stopped[victim], self._track.pending[victim] = self._track.pending[victim], None
        elif victim in self._stopped:
            self._track.pending[victim] = self._stopped.pop(victim)

    def _show_next(self, actor: int) -> None:
        steps = self._steps[actor]
        if not steps:
            self._track.pending[actor] = None
        elif isinstance(steps[0], ClockStep):
            self._track.pending[actor] = Point(steps[0].label, CLOCK, "w")
        else:
            self._track.pending[actor] = steps[0].point

    # What children report

    def _hear(self, number: int, seconds: float | None = None) -> None:
        """Wait for the report of a child; note it as blocked if none comes in time."""
        child = self._children.get(number)
        if child is None or number not in self._under_way:
            return
        if self._has_report(child, self._patience.point_seconds if seconds is None else seconds):
            self._take_report(number, child)
        else:
            self._track.block()

    def _has_report(self, child: Child, seconds: float) -> bool:
        """Wait for one as long as the child makes any progress, but not longer than a hang may last."""
        give_up = time.monotonic() + max(seconds, self._patience.hang_seconds)
        while not child.pipe.poll(seconds):
            # A busy machine makes a child late; that is no waiting for anyone.
            if time.monotonic() > give_up or is_process_stalled(child.process.pid or 0):
                return child.pipe.poll(0)
        return True

    def _hear_late(self) -> None:
        """Take the reports of those who were blocked."""
        for number in sorted(self._under_way):
            if self._children[number].pipe.poll(0):
                self._take_report(number, self._children[number])

    def _take_report(self, number: int, child: Child) -> None:
        self._under_way.discard(number)
        try:
            report: Report = child.pipe.recv()
        except (EOFError, ConnectionError):
            child.process.join(self._patience.hang_seconds)
            self.errors[number] = ProcessError(f"its process died with exit code {child.process.exitcode}")
            return
        self._reports[number] = report
        self._track.now = max(self._track.now, report.now)
        for note in report.notes:
            self._track.note(self._track.point(*note))
        if number in self._stopped:
            self._stopped[number] = self._met(report.point)
        else:
            self._track.pending[number] = self._met(report.point)
        if report.error is not None:
            self.errors[number] = ProcessError(report.error, report.frames)

    def _met(self, point: Point | None) -> Point | None:
        return None if point is None else self._track.point(*point)

    def _unwind(self) -> None:
        """Leave every child ready for the next order, or dead."""
        for number, child in self._children.items():
            if number in self._stopped or number in self._under_way:
                child.kill()
            elif self._track.pending[number] is not None:
                self._send(number, Go(0, 0, is_over=True))
                if child.pipe.poll(self._patience.hang_seconds):
                    child.pipe.recv()
                else:
                    child.kill()
