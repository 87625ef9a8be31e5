"""Running one strategy until it finds something, has nothing left, or the budget is spent."""

from collections.abc import Callable

from sessionguard.testing.schedule.budget import Meter
from sessionguard.testing.schedule.errors import NondeterministicScenario
from sessionguard.testing.schedule.execution import Execution, Stage
from sessionguard.testing.schedule.scenario import Removal
from sessionguard.testing.schedule.strategies.strategy import Strategy
from sessionguard.testing.schedule.strategies.tape import Tape
from sessionguard.testing.schedule.violations import Violation

Seen = Callable[[Execution], None]


def search(
    stage: Stage,
    strategy: Strategy,
    meter: Meter,
    *,
    without: frozenset[Removal] = frozenset(),
    like: Violation | None = None,
    seen: Seen | None = None,
) -> Execution | None:
    """Give the first schedule that fails (or that fails like `like`), or None.

    Raises:
        NondeterministicScenario: the scenario did not do the same again.
    """
    while not meter.is_spent and strategy.begin():
        execution = run_once(stage, strategy, without)
        meter.count()
        if seen is not None:
            seen(execution)
        if execution.violation is not None and (like is None or execution.violation.is_like(like)):
            return execution
    return None


def run_once(stage: Stage, strategy: Strategy, without: frozenset[Removal] = frozenset()) -> Execution:
    """Run the schedule that the strategy has prepared."""
    execution = stage.run(strategy, without)
    strategy.end(execution.track)
    return execution


def repeat(stage: Stage, execution: Execution, without: frozenset[Removal] = frozenset()) -> Execution:
    """Run the same schedule again.

    Raises:
        NondeterministicScenario: it went another way, or came to another end.
    """
    tape = Tape(execution.steps)
    again = run_once(stage, tape, without)
    if again.violation != execution.violation:
        once, now = (_told(each.violation) for each in (execution, again))
        raise NondeterministicScenario(len(execution.steps), f"the same schedule {once} once, and {now} now")
    return again


def _told(violation: Violation | None) -> str:
    return "passed" if violation is None else f"failed ({violation.message})"
