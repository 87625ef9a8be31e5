"""The layer of faults (K): something is killed, stopped, cancelled, forked or told a wrong time, and then judged."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from attrs import evolve, frozen

from sessionguard.core.commands import Identify
from sessionguard.core.driving import perform, run
from sessionguard.core.instants import from_us
from sessionguard.core.points import point
from sessionguard.testing.contracts.stage import START, Stage
from sessionguard.testing.faults.cancelling import CancelError, CancelPoint
from sessionguard.testing.mutants.table.connections import Echo, Number, serving
from sessionguard.testing.mutants.table.files import assert_whole
from sessionguard.testing.mutants.table.locking import LEASE_US
from sessionguard.testing.mutants.table.rows import Effort, Finding, Make
from sessionguard.testing.mutants.table.sequential import in_one_line
from sessionguard.testing.mutants.table.slots import SLOT
from sessionguard.testing.sweeps import (
    CrossedReplyError,
    LeakError,
    Other,
    Run,
    SweepError,
    cancel_sweep,
    fork_sweep,
    jump_sweep,
    kill_sweep,
)

_Played = Callable[[Make, Run], Any]
_HOUR: Final = timedelta(hours=1)
_NS_PER_US: Final = 1000


@frozen
class Killing:
    """A sweep of kills, or of pauses, as a trial. Each function is given `make` and the run."""

    operation: _Played
    survivor: _Played
    prepare: _Played | None = None
    check: _Played | None = None
    faults: tuple[Literal["kill", "pause"], ...] = ("kill",)
    lease: timedelta = timedelta()

    def __call__(self, make: Make, folder: Path, effort: Effort) -> Finding:
        """Strike at every stop."""
        return _swept(
            folder,
            partial(
                kill_sweep,
                partial(self.operation, make),
                partial(self.survivor, make),
                prepare=self.prepare and partial(self.prepare, make),
                check=self.check and partial(self.check, make),
                faults=self.faults,
                lease=self.lease,
            ),
        )


def _swept(folder: Path, sweep: Callable[..., Any]) -> Finding:
    try:
        report = sweep(folder=folder)
    except SweepError as error:
        if str(error).startswith("without"):
            # It does not even work while nobody strikes, so nothing was shown.
            raise RuntimeError(str(error)) from error
        # Each run has a folder, and that of the one that failed is kept.
        runs = [int(path.name.removeprefix("run")) for path in folder.glob("run*")]
        return Finding(True, max(runs, default=1), _last_line(error))
    return Finding(False, report.total)


def _last_line(error: SweepError) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("repeat only")]
    return f"{lines[0]} {lines[-1].strip()}"


# Slots (row 2)


def _clear(make: Make, run: Run) -> None:
    make(run.folder).clear()


def _open(new: str, make: Make, run: Run) -> str:
    return str(make(run.folder).open(SLOT, new))


def _both_have_one(make: Make, run: Run) -> None:
    assert run.operation is not None
    assert run.survivor is not None
    opened = {run.operation.value, run.survivor.value} - {None}
    assert len(opened) == 1, f"one slot has the sessions {sorted(opened)}"


SLOTS: Final = Killing(partial(_open, "one"), partial(_open, "two"), _clear, _both_have_one, faults=("kill", "pause"))


# Uploads (row 9), files (row 16), half sessions (row 17)


def _finish(make: Make, run: Run) -> None:
    make(run.folder).finish()


def _look(make: Make, run: Run) -> None:
    assert make(run.folder).look() != (True, False), "a finished upload was not found"


UPLOADS: Final = Killing(_finish, _look)


def _write(make: Make, run: Run) -> None:
    make(run.folder).write("1")


def _read(make: Make, run: Run) -> None:
    assert_whole(make(run.folder).read())


WRITES: Final = Killing(_write, _read, _clear, faults=("kill", "pause"))


def _open_with_directory(make: Make, run: Run) -> None:
    make(run.folder).open("ana")


def _use_what_is_left(make: Make, run: Run) -> None:
    sessions = make(run.folder)
    sessions.sweep()
    orphans = {path.name for path in sessions.directories.iterdir()} - {path.name for path in sessions.rows.iterdir()}
    assert not orphans, "a directory that belongs to nobody was left"
    (sessions.open("ana") / "file").write_text("content")


HALF_SESSIONS: Final = Killing(_open_with_directory, _use_what_is_left, _clear)


# Leases (row 18)


def _work_under_the_lock(make: Make, run: Run) -> None:
    lock = make(run.folder)
    assert lock.acquire(run.clock.us())
    point("work", "work", "w")
    lock.release()


def _take_over(make: Make, run: Run) -> None:
    assert make(run.folder).acquire(run.clock.us()), "nobody gets the lock of a dead holder"


LEASES: Final = Killing(_work_under_the_lock, _take_over, lease=timedelta(microseconds=LEASE_US))


# Clocks (row 21)


def _use_under_a_jumping_clock(make: Make, run: Run) -> None:
    store, began = make(run.folder), time.time_ns() // _NS_PER_US
    stage = Stage(run_now(store), store)
    new = stage.new()
    _ask(store, stage.get_or_create(new), began)
    for _ in range(2):
        point("use", "session", "w")
        _ask(store, stage.touch(new), time.time_ns() // _NS_PER_US)
    # The clock is right again, a second later.
    loaded = _ask(store, stage.load(new, at=START), began + 1_000_000)
    assert loaded.record is not None, f"the clock was wrong for a moment, and the session is {loaded.refusal}"


def run_now(store: Any) -> str:
    """Give the identity of a store."""
    return run(perform(Identify()), store)


def _ask(store: Any, command: Any, now_us: int) -> Any:
    return evolve(command, at=from_us(now_us)).apply(store)


def _nobody(make: Make, run: Run) -> None:
    """Nobody comes after."""


def jumps(make: Make, folder: Path, effort: Effort) -> Finding:
    """Set the wall clock forward and back at each use of a session."""
    return _swept(
        folder,
        partial(
            jump_sweep,
            partial(_use_under_a_jumping_clock, make),
            partial(_nobody, make),
            jumps=[_HOUR, -_HOUR],
            wall_clock=True,
        ),
    )


# Forks (rows 14 and 15)


def _use_twice(verb: str, argument: int, make: Callable[[int], Any], run: Run) -> list[Any]:
    run.kept["shared"] = make(argument)
    return [getattr(run.kept["shared"], verb)() for _ in range(2)]


def _use_in_fork(verb: str, run: Run) -> Any:
    return getattr(run.kept["shared"], verb)()


def _nothing_is_shared(run: Run) -> None:
    assert run.operation is not None
    fork = run.operation.fork
    if fork is not None:
        assert fork.value not in run.operation.value, f"parent and child both have {fork.value}"


def _forked(verb: str, argument: int, make: Any, folder: Path) -> Finding:
    return _swept(
        folder,
        partial(
            fork_sweep,
            partial(_use_twice, verb, argument, make),
            partial(_use_in_fork, verb),
            _nobody_after,
            check=_nothing_is_shared,
        ),
    )


def _nobody_after(run: Run) -> None:
    """Nobody comes after."""


def forked_connections(make: Make, folder: Path, effort: Effort) -> Finding:
    """Fork at each question to a server."""
    with serving(Number) as port:
        return _forked("ask", port, make, folder)


def forked_generators(make: Make, folder: Path, effort: Effort) -> Finding:
    """Fork at each id that is drawn."""
    return _forked("draw", effort.seed, make, folder)


# Cancellations (row 12)


def cancellations(make: Make, folder: Path, effort: Effort) -> Finding:
    """Cancel a question at each await, and ask for others then."""
    points: list[CancelPoint] = []
    try:
        with serving(Echo) as port:
            asyncio.run(_cancel_questions(make, folder, port, points))
    except (CancelError, CrossedReplyError, LeakError, SweepError) as error:
        return Finding(True, len(points) + 1, in_one_line(error))
    return Finding(False, len(points))


async def _cancel_questions(make: Make, folder: Path, port: int, points: list[CancelPoint]) -> None:
    with closing(make(folder)) as client:
        client.port = port
        others = [Other(name, partial(client.ask, name), name) for name in ("bob", "cy")]
        await cancel_sweep(partial(client.ask, "ana"), others, check=points.append, descriptors=False)
