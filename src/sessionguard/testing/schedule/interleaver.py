"""The search for a schedule that goes wrong, as one call."""

from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from sessionguard.errors import MisuseError
from sessionguard.testing.schedule.budget import Budget, Meter
from sessionguard.testing.schedule.engines import VIRTUAL, Engines, Setting
from sessionguard.testing.schedule.execution import Execution, Stage
from sessionguard.testing.schedule.outcome import Failure, Outcome
from sessionguard.testing.schedule.portfolio import Portfolio
from sessionguard.testing.schedule.replay import Replay, ReplayId, Segment, replay_id
from sessionguard.testing.schedule.scenario import ScenarioFunction
from sessionguard.testing.schedule.searching import repeat, run_once
from sessionguard.testing.schedule.shrinking import Minimal, Shrinker
from sessionguard.testing.schedule.threads import Patience

_SCHEDULES_TO_COMPARE: Final = 200
"""In search of one that goes well: a schedule that was not made small may have thousands of interruptions."""


@frozen
class Interleaver:
    """Runs a scenario in many orders. The same seed and scenario give the same search.

    `strategy` is "auto" (serial, then source-DPOR until it is exhausted or has used half of the budget, then random
    walks in turns, a few of them also after exhaustion), or one of them: "serial", "dpor", "dfs", "random", "urw",
    "pos", "pct2", "pct3", "pct4".
    """

    strategy: str = "auto"
    budget: Budget = field(factory=Budget)
    seed: int = 0
    patience: Patience = field(factory=Patience)
    shrink_seconds: float = 5.0
    step_limit: int = 20_000
    loop: str = VIRTUAL
    """Where tasks run: on a virtual loop, where everything is decided, or, gate by gate, on a real one ("asyncio",
    "uvloop", "trio")."""

    lines: Sequence[str] = ()
    """Names of modules of which every line is a point, for threads; beside the points that are declared."""

    io: bool = False
    """Whether threads and tasks are also stopped where they reach for what is shared, though it declares no points:
    statements to SQLite and PostgreSQL (psycopg), commands to Redis, calls about files, locks of files. In tasks that
    is where they await a driver, so only on a real loop."""

    check_points: bool = False
    """Whether what threads and tasks really do to files, databases and Redis is compared with the points they declare:
    two steps that meet there although their points have nothing in common are a failure. Nobody is stopped there."""

    must_repeat: bool = True
    """Whether a scenario that does not do the same each time is refused; without that a failure may not be repeated
    by its id, as its report says, and nothing is proved."""

    def run(self, scenario: ScenarioFunction, replay: str | None = None) -> Outcome:
        """Give what was found. With `replay`, the id of a failure, only that schedule is run.

        Raises:
            NondeterministicScenario: the scenario does not do the same each time, so nothing could be said about it.
            MisuseError: the scenario has nobody to race, or no worker ever came to a point, so nothing was interleaved.
        """
        if self.io and self.check_points:
            raise MisuseError("io makes each access a point, so there is nothing to check; leave io out")
        setting = Setting(self.patience, self.step_limit, self.loop, tuple(self.lines), self.io, self.check_points)
        with Engines(setting) as engines:
            if replay is not None:
                return self._replay(scenario, ReplayId.parse(replay), engines)
            return self._search(Stage(scenario, engines, self.seed, self.must_repeat))

    def _search(self, stage: Stage) -> Outcome:
        first = _check_determinism(stage)
        # Begun afterwards, so that at least one schedule is judged, however long each takes.
        meter = Meter(self.budget)
        if first.violation is None and not first.steps:
            raise _no_points()  # Nothing was to decide, so every schedule is this one.
        workers = len(first.workers)
        portfolio = Portfolio(stage, meter, self.seed, self.strategy)
        found = portfolio.run(workers)
        if found is None and not (portfolio.is_interleaved or portfolio.has_blocked):
            raise _no_points()
        failure = None
        if found is not None:
            failure = self._failure(stage, found, meter.schedules, portfolio)
        return Outcome(
            ok=found is None,
            schedules=meter.schedules,
            exhausted=found is None and portfolio.is_exhausted and stage.is_decided,
            proof=portfolio.proof if found is None else 0,
            failure=failure,
            workers=workers,
            seconds=meter.seconds,
            counts=portfolio.counts,
            unknown=portfolio.unknown,
            has_blocked=portfolio.has_blocked,
            waits=portfolio.waits,
            spinning=portfolio.spinning,
        )

    def _failure(self, stage: Stage, found: Execution, schedules: int, portfolio: Portfolio) -> Failure:
        if stage.is_decided and not found.has_blocked:
            repeat(stage, found)
        minimal = Shrinker(stage, found, self.shrink_seconds, self.seed).shrink()
        name = replay_id(minimal.execution.track, minimal.without, self.seed)
        return Failure(
            schedule=found,
            minimal=minimal.execution,
            replay_id=str(name),
            schedules=schedules,
            found_by=portfolio.found_by,
            is_undeclared=portfolio.is_complete,
            seed=self.seed,
            replayed=_try_twice(stage, name, minimal),
            passing=_nearest_passing(stage, name, Meter(Budget(_SCHEDULES_TO_COMPARE, self.shrink_seconds))),
        )

    def _replay(self, scenario: ScenarioFunction, name: ReplayId, engines: Engines) -> Outcome:
        stage = Stage(scenario, engines, name.seed)
        strategy = Replay(name.segments)
        execution = run_once(stage, strategy, name.without)
        failure = None
        if execution.violation is not None:
            passing = _nearest_passing(stage, name, Meter(Budget(_SCHEDULES_TO_COMPARE, self.shrink_seconds)))
            failure = Failure(execution, execution, str(name), 1, "replay", name.seed, (1, 1), passing)
        return Outcome(
            ok=failure is None,
            schedules=1,
            exhausted=False,
            failure=failure,
            workers=len(execution.workers),
            has_blocked=execution.has_blocked,
            waits=execution.track.waits,
            spinning=execution.track.spinning,
            replay_is_faithful=strategy.is_faithful,
        )


def _check_determinism(stage: Stage) -> Execution:
    """Run the first schedule twice, and give it."""
    execution = run_once(stage, Replay(()))
    if stage.is_decided and not execution.has_blocked:
        repeat(stage, execution)
    return execution


def _no_points() -> MisuseError:
    return MisuseError(
        "no worker reached a point, so nothing was interleaved; call point(label, resource, mode) before each access "
        "to what is shared (await apoint(...) in a task), or give Interleaver(io=True) for what reaches for files or "
        'databases, or Interleaver(lines=["module"]) for threads'
    )


def _try_twice(stage: Stage, name: ReplayId, minimal: Minimal) -> tuple[int, int]:
    """Run the small schedule by its id, as a reader of the report will."""
    again = 0
    for _ in range(2):
        again += run_once(stage, Replay(name.segments), name.without).violation == minimal.execution.violation
    return again, 2


def _nearest_passing(stage: Stage, name: ReplayId, meter: Meter) -> Execution | None:
    """Give a schedule that goes well and differs in one interruption less, if there is one, and it is found in time."""
    for place, segment in enumerate(name.segments):
        if not segment.label:
            continue
        if meter.is_spent:
            return None
        meter.count()
        uninterrupted = (*name.segments[:place], Segment(segment.worker), *name.segments[place + 1 :])
        execution = run_once(stage, Replay(uninterrupted), name.without)
        if execution.violation is None:
            return execution
    return None
