"""What a test calls to strike an operation of a process at every stop: kill and pause, clock jumps, forks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Literal

from sessionguard.testing.sweeps.orders import Part, Strike
from sessionguard.testing.sweeps.striking import Plan, SweepReport, strikes_of

__tracebackhide__ = True

FAULTS: Final = ("kill", "pause")


def kill_sweep(
    operation: Part,
    survivor: Part,
    *,
    faults: Sequence[Literal["kill", "pause"]] = FAULTS,
    **settings: Any,
) -> SweepReport:
    """Kill `operation(run)` with SIGKILL at each of its stops, and stop it there for longer than its lease.

    Each run has a world of its own and plays these functions, each in a process of its own:

    1. `prepare(run)`, if given, makes what there is before;
    2. `operation(run)` is struck at one stop (`stops`: "declared", "io" or "lines:<module>"; see
       `sessionguard.testing.sweeps.stops`). The last stop is the one after its end;
    3. `run.clock` moves on by `lease`, and `survivor(run)` has to make progress then, within `patience_seconds`: it
       does not wait for the dead or the stopped;
    4. what was stopped is woken and has to end: it returns, or raises one of `refusals`;
    5. `check(run)`, if given, finds all well: `run.operation` and `run.survivor` say how those ended.

    With `model`, the calls that they wrote down in `run.history()` must be legal, with what was struck as unknown; with
    `strict`, a history that could not be judged is an error, too. With `wall_clock`, `time.time()` of all parts shows
    `run.clock`, too. `folder` is where the runs have theirs; that of a run that failed is kept there. `only`, an id
    that a report printed, plays that one strike. All functions are functions of a module, or `functools.partial` of
    one.

    Raises:
        SweepError: after a strike something was wrong; or, without one, the operation does not work, has no stops, or
            does not come to as many of them each time.
        MisuseError: there is nothing to strike with, one of `faults` is given twice, or a function cannot cross into
            another process, as a lambda.
    """
    return Plan(operation, survivor, **settings).play(strikes_of(faults))


def jump_sweep(operation: Part, survivor: Part, *, jumps: Sequence[timedelta], **settings: Any) -> SweepReport:
    """Let the clock jump by each of `jumps` at each stop of `operation(run)`, which goes on; then play as `kill_sweep`.

    `run.clock` jumps, and with `wall_clock` also `time.time()` of every part. It begins at the same instant in each
    run, so a jump by a timeout leads exactly to the instant of expiry.

    Raises:
        SweepError, MisuseError: as by `kill_sweep`.
    """
    return Plan(operation, survivor, **settings).play([Strike("jump", 0, by) for by in jumps])


def fork_sweep(operation: Part, in_fork: Part, survivor: Part, **settings: Any) -> SweepReport:
    """Fork the process at each stop of `operation(run)`, from another thread; then play as `kill_sweep`.

    `in_fork(run)` is played in the child, which has all that the operation has open, such as `run.kept["guard"]`, and
    of its threads only the one that forked. It has to return, or to raise one of `refusals`, within `patience_seconds`;
    then the operation goes on and has to end well.
    """
    return Plan(operation, survivor, in_fork=in_fork, **settings).play([Strike("fork", 0)])
