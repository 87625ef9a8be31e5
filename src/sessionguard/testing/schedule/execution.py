"""One schedule from beginning to end: set up, run, judge."""

import itertools
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define, field

from sessionguard.errors import MisuseError
from sessionguard.testing.history import History, Illegal, Unknown
from sessionguard.testing.schedule.async_run import AsyncRun
from sessionguard.testing.schedule.gating import GateRun
from sessionguard.testing.schedule.pool import Pool
from sessionguard.testing.schedule.scenario import Removal, Scenario, ScenarioFunction, Worker
from sessionguard.testing.schedule.threads import Patience, ThreadRun
from sessionguard.testing.schedule.track import NOBODY, Choice, EndlessError, Step, Track
from sessionguard.testing.schedule.violations import (
    Violation,
    from_deadlock,
    from_error,
    from_hanging,
    from_objection,
    from_verdict,
)


@define
class Execution:
    """What came of one schedule."""

    track: Track
    history: History
    workers: list[Worker] = field(factory=list)
    violation: Violation | None = None
    unknown: str | None = None
    """Why a checker gave up, if one did."""
    has_blocked: bool = False
    """Whether a worker waited for something undeclared, so that the order was not wholly decided."""

    @property
    def names(self) -> Sequence[str]:
        """What the workers are called."""
        return self.track.names

    @property
    def steps(self) -> list[Step]:
        """What was done, in order."""
        return self.track.steps

    @property
    def preemptions(self) -> int:
        """How often a worker was interrupted though it could have gone on."""
        pairs = itertools.pairwise(self.steps)
        return sum(after.worker != before.worker and before.worker in after.enabled for before, after in pairs)

    @property
    def has_operations(self) -> bool:
        """Whether a history was recorded, so that the order of calls and returns can matter."""
        return len(self.history) > 0

    @property
    def tape(self) -> list[int]:
        """Who was granted each step, by number."""
        return [step.worker for step in self.steps]


class Run(Protocol):
    """One schedule in an engine."""

    errors: dict[int, BaseException]
    """What workers raised."""
    hung: list[int]
    """Who waits for something undeclared that does not come."""

    def play(self) -> None:
        """Run the workers to their end, or to where none can go on. Raises what the strategy raised."""

    def current(self) -> int:
        """Give the number of the worker that asks, or `NOBODY`."""


class Stage:
    """Runs schedules of one scenario; keeps what they share."""

    def __init__(
        self, scenario: ScenarioFunction, pool: Pool, seed: int = 0, patience: Patience | None = None,
        step_limit: int = 20_000, loop: str = "virtual",
    ) -> None:  # fmt: skip
        self._scenario, self._pool, self._seed, self._patience = scenario, pool, seed, patience
        self._step_limit, self._loop = step_limit, loop

    def run(self, choice: Choice, without: frozenset[Removal] = frozenset()) -> Execution:
        """Run one schedule as `choice` decides, and judge it.

        Raises what `choice` raises, and `MisuseError` if the scenario has nobody to race.
        """
        scenario = Scenario(self._seed, without)
        self._scenario(scenario)
        if not scenario.workers:
            raise MisuseError("the scenario has no workers; call s.worker or s.task in it")
        track = Track([worker.name for worker in scenario.workers], choice, self._step_limit)
        scenario.track = track
        done = Execution(track, scenario.history, scenario.workers)
        try:
            run = self._play(scenario, track)
        except EndlessError as error:
            done.violation = Violation("endless", "endless", (), str(error), error=error)
            return done
        finally:
            done.has_blocked = track.has_blocked
        self._judge(done, scenario, track, run)
        return done

    def _play(self, scenario: Scenario, track: Track) -> "Run":
        run: Run
        if _are_tasks(scenario.workers):
            bodies = [worker.play_async for worker in scenario.workers]
            if self._loop == "virtual":
                run = AsyncRun(track, bodies, scenario.clock)
            else:
                run = GateRun(track, bodies, self._loop, self._patience)
        else:
            run = ThreadRun(track, [worker.play for worker in scenario.workers], self._pool, self._patience)
        scenario.whose = _by_name(track, run.current)
        run.play()
        return run

    def _judge(self, done: Execution, scenario: Scenario, track: Track, run: "Run") -> None:
        for worker, error in sorted(run.errors.items()):
            done.violation = from_error(track.names[worker], error)
            return
        if run.hung:
            done.violation = from_hanging([track.names[worker] for worker in run.hung])
        elif track.waiting():
            done.violation = from_deadlock(track)
        else:
            _ask_checks(done, scenario)


def _ask_checks(done: Execution, scenario: Scenario) -> None:
    scenario.track = None
    for number, check in enumerate(scenario.checks):
        judge = getattr(check, "__name__", "check")
        judge = f"check {number + 1}" if judge == "<lambda>" else judge
        try:
            verdict = check(scenario.history)
        except AssertionError as error:
            done.violation = from_objection(judge, error)
            return
        except Exception as error:
            done.violation = from_error(judge, error)
            return
        if isinstance(verdict, Illegal):
            done.violation = from_verdict(judge, verdict)
            return
        if isinstance(verdict, Unknown):
            done.unknown = verdict.reason


def _are_tasks(workers: Sequence[Worker]) -> bool:
    kinds = {worker.kind for worker in workers}
    if {"thread", "task"} <= kinds:
        raise MisuseError("the scenario has both threads and tasks; race one kind at a time")
    return "task" in kinds


def _by_name(track: Track, current: Callable[[], int]) -> Callable[[], str]:
    def whose() -> str:
        worker = current()
        return "(setting up)" if worker == NOBODY else track.names[worker]

    return whose
