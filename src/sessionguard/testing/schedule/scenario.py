"""What is raced: workers, made anew for every schedule, and what must hold when they are done."""

import random
import uuid
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import timedelta
from typing import Any, Final, Literal

from attrs import field, frozen

from sessionguard.core.points import apoint, point
from sessionguard.errors import MisuseError
from sessionguard.testing.history import History, Recording, Verdict
from sessionguard.testing.portable import refuse_unportable
from sessionguard.testing.schedule.accesses import CLOCK, OPERATIONS, RETURN, Point
from sessionguard.testing.schedule.adopting import Adoption
from sessionguard.testing.schedule.clock import VirtualClock
from sessionguard.testing.schedule.faults import FaultStep
from sessionguard.testing.schedule.participant import RemotePart
from sessionguard.testing.schedule.refusing import refuse_part, refuse_unplayed
from sessionguard.testing.schedule.track import Step, Track

Kind = Literal["thread", "task", "process", "actor"]
Part = Callable[..., Any] | FaultStep
Check = Callable[[History], "Verdict | None"]
ScenarioFunction = Callable[["Scenario"], None]

Removal = tuple[str, int | None]
"""What a smaller scenario leaves out: a worker, or one of its parts, by number."""

_SETTING_UP: Final = "(setting up)"


@frozen
class Worker:
    """One of those who race: its parts are played in order, each a call or a few."""

    name: str
    kind: Kind
    parts: tuple[Part, ...]
    numbers: tuple[int, ...] = field()
    """The numbers that the parts had before any was left out."""

    @numbers.default
    def _all(self) -> tuple[int, ...]:
        return tuple(range(len(self.parts)))

    def play(self) -> None:
        """Play all parts, in this thread."""
        for part in self.parts:
            refuse_unplayed(self.name, _called(part)())

    async def play_async(self) -> None:
        """Play all parts, in this task."""
        for part in self.parts:
            answer = part.move() if isinstance(part, ClockStep) else _called(part)()
            if isinstance(answer, Awaitable):
                await answer


def _called(part: Part) -> Callable[..., Any]:
    assert not isinstance(part, FaultStep), "only the process engine plays faults"
    return part


@frozen
class ClockStep:
    """One move of the virtual clock, as a part of an actor."""

    clock: VirtualClock
    by: timedelta

    @property
    def label(self) -> str:
        """What it is called in reports."""
        return f"clock {self.by.total_seconds():+g} s"

    def __call__(self) -> None:
        """Move it, in a thread."""
        point(self.label, CLOCK, "w")
        self.clock.advance(self.by)

    async def move(self) -> None:
        """Move it, in a task."""
        await apoint(self.label, CLOCK, "w")
        self.clock.advance(self.by)


class Scenario:
    """Given to the function that sets a race up; it is called anew for every schedule and must do the same each time.

    So ids come from `uuid`, luck from `random`, and time from `clock`: they give the same in every schedule, to each
    worker its own.
    """

    def __init__(self, seed: int = 0, without: frozenset[Removal] = frozenset()) -> None:
        self.clock = VirtualClock(access=point)
        self.history: History = _ScheduledHistory(self)
        """A record whose clock is the step counter of the schedule."""
        self.checks: list[Check] = []
        self.workers: list[Worker] = []
        self.track: Track | None = None
        self.shown: Callable[[], object] | None = None
        self.adoption = Adoption(self)
        self.whose: Callable[[], str] = lambda: _SETTING_UP
        self.seed = seed
        self._without = without
        self._randoms: dict[str, random.Random] = {}

    def worker(self, name: str, *functions: Part) -> None:
        """Add a thread that calls the functions in order; those that a failure does not need can be left out of it."""
        self._add(name, "thread", functions)

    def task(self, name: str, *functions: Callable[[], Awaitable[Any]]) -> None:
        """Add a task that awaits the coroutine functions in order."""
        self._add(name, "task", functions)

    def process(self, name: str, *functions: RemotePart) -> None:
        """Add a process of its own, started afresh, that calls the functions in order, each with a `Participant`.

        They must be picklable (a function of a module, or a `functools.partial` of one), and take history, clock, luck
        and ids from what they are given.
        """
        for function in functions:
            refuse_unportable(f"a function of worker {name!r}", function)
        self._add(name, "process", functions)

    def kill(self, victim: str) -> None:
        """Let the process of that name be killed, at any of its points, or not before its end."""
        self._add(f"kill {victim}", "actor", [FaultStep("kill", victim)])

    def pause(self, victim: str) -> None:
        """Let the process of that name be stopped, with all its threads, and go on again, at any of its points."""
        self._add(f"pause {victim}", "actor", [FaultStep("stop", victim), FaultStep("continue", victim)])

    def clock_actor(self, steps: Sequence[float | timedelta], name: str = "clock") -> None:
        """Add a worker that moves the clock, by one duration (or number of seconds) after the other."""
        self.clock.is_moving = True
        moves = [step if isinstance(step, timedelta) else timedelta(seconds=step) for step in steps]
        self._add(name, "actor", [ClockStep(self.clock, move) for move in moves])

    def show(self, state: Callable[[], object]) -> None:
        """Let reports show this state after each step. It is asked between steps, and touches nothing."""
        self.shown = state

    def adopt(self, *owners: object) -> None:
        """Let the scheduler see the waiting for locks and conditions that are attributes of these objects or modules.

        They are replaced by stand-ins until the schedule is over.
        """
        for owner in owners:
            self.adoption.adopt(owner)

    def hold(self, resource: Hashable, *, by_nobody: bool = False) -> None:
        """Note who holds an adopted lock."""
        if self.track is not None:
            self.track.hold(resource, by_nobody=by_nobody)

    def let_go(self, resource: Hashable) -> None:
        """Note that an adopted lock is free."""
        if self.track is not None:
            self.track.let_go(resource)

    def touch(self, label: str, resource: Hashable) -> None:
        """Note that the step under way changes an adopted lock or condition."""
        if self.track is not None:
            self.track.note(Point(label, resource, "w"))

    def check(self, *functions: Check) -> None:
        """Add what must hold when all workers are done: a function of the history that raises, or gives a verdict.

        It returns None otherwise; anything else, such as False or a coroutine, is refused with `MisuseError`.
        A failure is shrunk by leaving workers out, so a check says what must not be, rather than count.
        """
        self.checks.extend(functions)

    @property
    def steps(self) -> Sequence[Step]:
        """What was done in this schedule so far, in order."""
        return () if self.track is None else self.track.steps

    @property
    def has_faults(self) -> bool:
        """Whether something is done to a worker that it does not do itself."""
        return any(isinstance(part, FaultStep) for worker in self.workers for part in worker.parts)

    @property
    def random(self) -> random.Random:
        """The luck of whoever asks."""
        who = self.whose()
        if who not in self._randoms:
            self._randoms[who] = random.Random(f"{self.seed}/{who}")
        return self._randoms[who]

    def uuid(self) -> uuid.UUID:
        """Give an id that nobody else gets in this schedule."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def _add(self, name: str, kind: Kind, functions: Sequence[Part]) -> None:
        if not functions:
            raise MisuseError(f"worker {name!r} has nothing to do; give it a function")
        for function in functions:
            refuse_part(name, kind == "task", function)
        if any(worker.name == name for worker in self.workers):
            raise MisuseError(f"two workers are called {name!r}; give each a name of its own")
        if (name, None) in self._without:
            return
        numbers = tuple(number for number in range(len(functions)) if (name, number) not in self._without)
        if numbers:
            self.workers.append(Worker(name, kind, tuple(functions[number] for number in numbers), numbers))

    def count(self, is_return: bool) -> int:
        """Give the number of a call or a return; a return is noted in the step under way."""
        if self.track is None:
            return 0
        if is_return:
            self.track.note(RETURN)
        return self.track.tick()


class _ScheduledHistory(History):
    """A history in whose order nothing is by chance: a call begins when the scheduler lets it begin."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(self._tell, instants=scenario.clock.peek_us)
        self._scenario = scenario
        self._is_calling = False

    def record(self, client: str, name: str, /, **args: Any) -> Recording:
        """Give a block for one call, and wait for one's turn to begin it."""
        # A call that is noted as late as can be leaves the checker the least freedom, so it finds the most.
        point(name, OPERATIONS, "call")  # type: ignore[arg-type]
        self._is_calling = True
        return super().record(client, name, **args)

    def _tell(self) -> int:
        was_calling, self._is_calling = self._is_calling, False
        return self._scenario.count(is_return=not was_calling)
