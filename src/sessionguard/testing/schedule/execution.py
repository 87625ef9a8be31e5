"""One schedule from beginning to end: set up, run, judge."""

import itertools
from collections.abc import Callable, Sequence

from attrs import define, field

from sessionguard.errors import MisuseError
from sessionguard.testing.history import History, Illegal, Unknown
from sessionguard.testing.schedule.accesses import is_declared
from sessionguard.testing.schedule.engines import VIRTUAL, Engines, Run
from sessionguard.testing.schedule.refusing import refuse_answer
from sessionguard.testing.schedule.scenario import Removal, Scenario, ScenarioFunction, Worker
from sessionguard.testing.schedule.track import NOBODY, Choice, EndlessError, Step, Track
from sessionguard.testing.schedule.violations import (
    Violation,
    from_deadlock,
    from_error,
    from_hanging,
    from_objection,
    from_undeclared,
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
    has_faults: bool = False
    """Whether a worker was killed or stopped from outside."""
    has_blocked: bool = False
    """Whether a worker waited for something undeclared, or points were met by others, so not all was decided."""

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
    def is_interleaved(self) -> bool:
        """Whether a worker came to where another one could come between: a point, a lock, a timer, an operation."""
        actors = {number for number, worker in enumerate(self.workers) if worker.kind == "actor"}
        steps = (step for step in self.steps if step.worker not in actors)
        return self.has_operations or any(is_declared(access) for step in steps for access in step.accesses)

    @property
    def tape(self) -> list[int]:
        """Who was granted each step, by number."""
        return [step.worker for step in self.steps]


class Stage:
    """Runs schedules of one scenario; keeps what they share."""

    def __init__(self, scenario: ScenarioFunction, engines: Engines, seed: int = 0, must_repeat: bool = True) -> None:
        self._scenario, self._engines, self._seed, self._must_repeat = scenario, engines, seed, must_repeat

    @property
    def is_decided(self) -> bool:
        """Whether the same choices must lead to the same steps: on a real loop answers come when they come."""
        return self._must_repeat and self._engines.setting.loop == VIRTUAL

    def run(self, choice: Choice, without: frozenset[Removal] = frozenset()) -> Execution:
        """Run one schedule as `choice` decides, and judge it.

        Raises what `choice` raises, and `MisuseError` if the scenario has nobody to race, or a check can object to
        nothing.
        """
        scenario = Scenario(self._seed, without)
        try:
            with self._engines.around():
                self._scenario(scenario)
                return self._run(scenario, choice)
        finally:
            scenario.adoption.undo()

    def _run(self, scenario: Scenario, choice: Choice) -> Execution:
        if not scenario.workers:
            raise MisuseError("the scenario has no workers; call s.worker, s.task or s.process in it")
        track = Track([worker.name for worker in scenario.workers], choice, self._engines.setting.step_limit)
        scenario.track, track.show = track, scenario.shown
        scenario.adoption.begin()
        done = Execution(track, scenario.history, scenario.workers, has_faults=scenario.has_faults)
        try:
            run = self._play(scenario, track)
        except EndlessError as error:
            done.violation = Violation("endless", "endless", (), str(error), error=error)
            return done
        finally:
            track.take_picture()
            done.has_blocked = track.has_blocked or track.has_strangers
        self._judge(done, scenario, track, run)
        return done

    def _play(self, scenario: Scenario, track: Track) -> Run:
        run = self._engines.prepare(scenario, track)
        scenario.whose = _by_name(track, run.current)
        self._engines.play(run, track)
        return run

    def _judge(self, done: Execution, scenario: Scenario, track: Track, run: Run) -> None:
        for worker, error in sorted(run.errors.items()):
            done.violation = from_error(track.names[worker], error)
            return
        if run.hung:
            done.violation = from_hanging([track.names[worker] for worker in run.hung], track.waits)
        elif track.waiting():
            done.violation = from_deadlock(track)
        elif track.undeclared:
            done.violation = from_undeclared(track.undeclared)
        else:
            _ask_checks(done, scenario)


def _ask_checks(done: Execution, scenario: Scenario) -> None:
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
        refuse_answer(judge, verdict)
        if isinstance(verdict, Illegal):
            done.violation = from_verdict(judge, verdict)
            return
        if isinstance(verdict, Unknown):
            done.unknown = verdict.reason


def _by_name(track: Track, current: Callable[[], int]) -> Callable[[], str]:
    def whose() -> str:
        worker = current()
        return "(setting up)" if worker == NOBODY else track.names[worker]

    return whose
