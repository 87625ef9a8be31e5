"""The state of one schedule: who stands before which point, who may go on, and what was done so far."""

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Protocol

from sessionguard.core.points import Part
from sessionguard.testing.schedule.accesses import NumberedPart, Point
from sessionguard.testing.schedule.fairness import Fairness

NOBODY: Final = -1
"""Instead of a worker's number: no one can go on."""


class Step:
    """One decision and what it led to: the access it granted, and what else was touched before the next point."""

    __slots__ = ("enabled", "is_blocked", "notes", "number", "point", "state", "stop", "worker")

    def __init__(self, worker: int, point: Point, number: int, enabled: Sequence[int]) -> None:
        self.worker, self.point, self.number, self.enabled = worker, point, number, enabled
        self.notes: list[Point] = []
        self.is_blocked = False
        self.stop: Point | None = None
        """Where its worker stood when the next one was chosen; None if it had ended or waited elsewhere."""
        self.state = ""
        """What the scenario showed after it, if it shows anything."""

    @property
    def accesses(self) -> list[Point]:
        """Everything that it touched."""
        return [self.point, *self.notes]

    def __repr__(self) -> str:
        return f"Step({self.worker}, {self.point})"


class Choice(Protocol):
    """Whatever decides who goes on."""

    def choose(self, track: "Track", enabled: Sequence[int]) -> int:
        """Give one of `enabled`, the numbers of the workers that can go on, in rising order; there is at least one."""


class EndlessError(Exception):
    """A schedule has more steps than it may have."""


class Track:
    """One schedule while it is made. Engines tell it where workers arrive; it asks the strategy who goes on.

    Workers are numbers here, in the order in which the scenario named them. It does no waiting of its own, so every
    engine, with threads, tasks or processes, has the same rules.
    """

    def __init__(self, names: Sequence[str], choice: Choice, step_limit: int = 20_000) -> None:
        self.names = list(names)
        self.pending: list[Point | None] = [None] * len(names)
        """The point that each worker stands before; None while it runs, is blocked, or has ended."""
        self.holders: dict[Hashable, int] = {}
        """Who holds each lock."""
        self.steps: list[Step] = []
        self.current = NOBODY
        """Who was granted last."""
        self.now = 0
        """Counts steps, calls and returns; gives the order of everything that happened."""
        self.has_blocked = False
        self.waits: dict[str, str] = {}
        """Of the workers that waited for something undeclared: where, and what lets the scheduler see it."""
        self.has_strangers = False
        """Whether a point was met where nobody can be stopped: in a thread that is no worker, or in an executor."""
        self.show: Callable[[], object] | None = None
        """Gives the state that reports show beside each step."""
        self.undeclared: list[str] = []
        """What steps had in common that their points do not say, if that is looked for."""
        self.look_again: Callable[[], None] | None = None
        """Asked before each decision, to let go of what has become free in the step before and nobody has said so."""
        self._looker = NOBODY
        self._choice, self._step_limit = choice, step_limit
        self._fairness = Fairness()
        self._parts: dict[Part, NumberedPart] = {}

    def join(self, name: str) -> int:
        """Add a worker that the scenario did not name; give its number."""
        self.names.append(name)
        self.pending.append(None)
        return len(self.names) - 1

    def point(self, label: str, resource: Hashable, mode: str) -> Point:
        """Give what code has declared as a point of this schedule."""
        if isinstance(resource, Part):
            # By the order in which they are met: schedules that begin alike give the same numbers until they part.
            number = NumberedPart(resource.whole, len(self._parts), resource.name)
            resource = self._parts.setdefault(resource, number)
        return Point(label, resource, mode)

    def tick(self) -> int:
        """Give the next number of the counter."""
        self.now += 1
        return self.now

    def note(self, point: Point) -> None:
        """Add an access to the step under way, without a decision."""
        if self.steps:
            self.steps[-1].notes.append(point)

    def hold(self, resource: Hashable, *, by_nobody: bool = False) -> None:
        """Note that the current worker took a lock without waiting, or that nobody can take it until it is released."""
        self.holders[resource] = NOBODY if by_nobody else self.current

    def let_go(self, resource: Hashable) -> None:
        """Note, in the step under way, that a lock is free."""
        if self.holders.pop(resource, None) is not None:
            self.note(Point("free", resource, "rel"))

    def lose(self, worker: int) -> None:
        """Note, in the step under way, that a worker is dead: the system frees the locks that it had."""
        self.pending[worker] = None
        for resource in [resource for resource, holder in self.holders.items() if holder == worker]:
            self.let_go(resource)

    def enabled(self) -> list[int]:
        """Give the workers that stand before a point and need not wait for a lock."""
        holders = self.holders
        return [
            worker
            for worker, point in enumerate(self.pending)
            if point is not None and (point.mode != "acq" or point.resource not in holders)
        ]

    def decide(self) -> int:
        """Let the strategy choose who goes on, and write it down; `NOBODY` if no one can.

        Raises:
            EndlessError: there are too many steps.
        """
        if self.show is not None:
            self.take_picture()
        if self.look_again is not None:
            self.look_again()
        could = self.enabled()
        if not could:
            return NOBODY
        enabled = self._fairness.among(could)
        if len(self.steps) >= self._step_limit:
            raise EndlessError(f"{self._step_limit} steps and no end{self._going_round()}")
        if self.steps:
            # Now, since a later step may take it away from there: a task is cancelled where it stands.
            self.steps[-1].stop = self.pending[self.steps[-1].worker]
        worker = self._choice.choose(self, enabled)
        point = self.pending[worker]
        assert point is not None, "the strategy chose a worker that cannot go on"
        self.pending[worker] = None
        if point.mode == "acq":
            self.holders[point.resource] = worker
        elif point.mode == "rel":
            self.holders.pop(point.resource, None)
        self.now += 1
        self.steps.append(Step(worker, point, self.now, enabled))
        self._fairness.take(worker, point, could)
        self.current = worker
        return worker

    @property
    def spinning(self) -> frozenset[str]:
        """Who only went round, and had to let others go on first, so that not all orders were left to choose from."""
        return frozenset(self.names[worker] for worker in self._fairness.spinning)

    def _going_round(self) -> str:
        """Say who asks again and again, if anyone does."""
        told = []
        for worker in self._fairness.going_round():
            last = next((step.point for step in reversed(self.steps) if step.worker == worker), None)
            told.append(f"{self.names[worker]} at {last}")
        if not told:
            return ""
        return (
            f"; these only went round, although all others went on as far as they could: {', '.join(told)}: either "
            "nobody does what is waited for, or it comes later than this many steps"
        )

    def take_picture(self) -> None:
        """Keep the state that the last step led to."""
        if self.steps and self.show is not None:
            self._looker = threading.get_ident()
            try:
                self.steps[-1].state = str(self.show())
            finally:
                self._looker = NOBODY

    def is_looking(self) -> bool:
        """Tell whether this thread takes a picture: what it comes by then is no point, it stands at one already."""
        return self._looker == threading.get_ident()

    def block(self, worker: int = NOBODY, told: str = "") -> None:
        """Note that the worker of the step under way does not come back: it waits for something undeclared.

        `told` says where, if the engine can see it.
        """
        self.has_blocked = True
        if told:
            self.waits[self.names[worker]] = told
        if self.steps:
            self.steps[-1].is_blocked = True

    def waiting(self) -> list[tuple[int, Point]]:
        """Give those who stand before a point, with the point."""
        return [(worker, point) for worker, point in enumerate(self.pending) if point is not None]

    def wait_cycle(self) -> list[tuple[int, Point, int]]:
        """Give who waits for which lock and who holds it, around the circle; all who wait if there is no circle."""
        waits = {worker: (point, self.holders.get(point.resource, NOBODY)) for worker, point in self.waiting()}
        for start in waits:
            path: list[int] = []
            worker = start
            while worker in waits and worker not in path:
                path.append(worker)
                worker = waits[worker][1]
            if worker in path:
                return [(each, *waits[each]) for each in path[path.index(worker) :]]
        return [(worker, *wait) for worker, wait in waits.items()]
