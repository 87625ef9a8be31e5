"""Which engine plays a scenario, and what the engines keep between schedules."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self

from attrs import field, frozen

from sessionguard.errors import MisuseError
from sessionguard.testing.schedule.async_run import AsyncRun
from sessionguard.testing.schedule.children import Children
from sessionguard.testing.schedule.faults import FaultStep
from sessionguard.testing.schedule.gating import GateRun
from sessionguard.testing.schedule.io.engine import IoPoints
from sessionguard.testing.schedule.lines import Lines
from sessionguard.testing.schedule.pool import Pool
from sessionguard.testing.schedule.process_run import ProcessRun
from sessionguard.testing.schedule.scenario import Kind, Scenario, Worker
from sessionguard.testing.schedule.threads import Patience, ThreadRun
from sessionguard.testing.schedule.track import Track

VIRTUAL = "virtual"


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


@frozen
class Setting:
    """How schedules are played."""

    patience: Patience = field(factory=Patience)
    step_limit: int = 20_000
    loop: str = VIRTUAL
    lines: Sequence[str] = ()
    io: bool = False
    check_points: bool = False


class Engines:
    """The engines with their threads and processes, which all schedules of one search share."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._pool, self._children = Pool(), Children()
        self._lines = Lines(setting.lines)
        self._io = IoPoints(setting.io, are_checked=setting.check_points)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._io.close()
        self._pool.__exit__()
        self._children.__exit__()

    def prepare(self, scenario: Scenario, track: Track) -> Run:
        """Give the engine that plays this scenario.

        Raises:
            MisuseError: its workers are of kinds that no engine plays together.
        """
        workers, patience = scenario.workers, self.setting.patience
        kind = _kind_of(workers)
        if kind == "process":
            if self.setting.io or self.setting.check_points:
                raise MisuseError("io is watched in threads and tasks; processes stop at declared points only")
            return ProcessRun(track, scenario, self._children, patience)
        if kind == "thread":
            bodies = [self._lines.around(worker.play) for worker in workers]
            return ThreadRun(track, bodies, self._pool, patience)
        tasks = [worker.play_async for worker in workers]
        if self.setting.loop == VIRTUAL:
            return AsyncRun(track, tasks, scenario.clock)
        return GateRun(track, tasks, self.setting.loop, patience, io=self.setting.io)

    def around(self) -> AbstractContextManager[None]:
        """Give a block for one schedule, from its setting up until it is judged."""
        return self._io.installed()

    def play(self, run: Run, track: Track) -> None:
        """Play it."""
        with self._lines.watching(), self._io.listening(track, run.current, not isinstance(run, ThreadRun)):
            run.play()


def _kind_of(workers: Sequence[Worker]) -> Kind:
    kinds = {worker.kind for worker in workers} - {"actor"}
    if len(kinds) > 1:
        named = {"thread": "threads", "task": "tasks", "process": "processes"}
        told = " and ".join(named[kind] for kind in sorted(kinds, reverse=True))
        raise MisuseError(f"the scenario has both {told}; race one kind at a time")
    has_faults = any(isinstance(part, FaultStep) for worker in workers for part in worker.parts)
    if has_faults and kinds != {"process"}:
        raise MisuseError("only processes can be killed or stopped; call s.process for those who are")
    return kinds.pop() if kinds else "thread"
