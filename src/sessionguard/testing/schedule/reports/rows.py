"""A schedule as rows in the order in which everything happened: what reports of every kind are made of."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

from attrs import define

from sessionguard.core.commands import Command
from sessionguard.testing.history import Operation
from sessionguard.testing.history.showing import called, shown_value
from sessionguard.testing.schedule.execution import Execution
from sessionguard.testing.schedule.track import Step

RowKind = Literal["call", "access"]


@define
class Row:
    """One thing that one worker did."""

    worker: int
    kind: RowKind
    text: str
    number: int
    """Its place in the order of the schedule."""
    returned: str = ""
    """What its operation returned, if it did so before the next row."""
    preempted: int | None = None
    """Who was interrupted for it though it could have gone on."""
    is_blocked: bool = False
    state: str = ""
    """What the scenario shows after it."""


def rows_of(execution: Execution) -> list[Row]:
    """Give the rows of a schedule, earliest first."""
    numbers = [step.number for step in execution.steps]
    calls = _calls(execution, numbers)
    rows: list[Row] = []
    before: Step | None = None
    by_place: list[Row | None] = []
    for place, step in enumerate(execution.steps):
        made = _rows_of_step(step, calls.get(place, []))
        if made and before is not None and before.worker != step.worker and before.worker in step.enabled:
            made[0].preempted = before.worker
        if made:
            made[-1].state = step.state
        rows += made
        by_place.append(rows[-1] if made else None)
        before = step if made else before
    _add_returns(execution.history.operations, numbers, by_place)
    return rows


def call_text(operation: Operation) -> str:
    """Give a call as it would be written in Python, a command of a store as the checker shows it."""
    if _is_command(operation):
        return called(operation)
    args = [repr(value) if len(operation.args) == 1 else f"{name}={value!r}" for name, value in operation.args.items()]
    return f"{operation.name}({', '.join(args)})"


def return_text(operation: Operation) -> str:
    """Give how a call ended."""
    if operation.outcome == "ok":
        return f"=> {shown_value(operation.result) if _is_command(operation) else repr(operation.result)}"
    return f"{'failed' if operation.outcome == 'fail' else '??'}: {operation.result}"


def _is_command(operation: Operation) -> bool:
    return isinstance(operation.args.get("command"), Command)


def _rows_of_step(step: Step, calls: Sequence[Operation]) -> list[Row]:
    rows = []
    if step.point.mode not in ("call", "-"):
        rows.append(Row(step.worker, "access", str(step.point), step.number, is_blocked=step.is_blocked))
    rows += [Row(step.worker, "call", call_text(operation), operation.call) for operation in calls]
    return rows


def _calls(execution: Execution, numbers: Sequence[int]) -> dict[int, list[Operation]]:
    """Give the operations by the step that they were called in."""
    calls: dict[int, list[Operation]] = {}
    for operation in execution.history.operations:
        calls.setdefault(bisect_right(numbers, operation.call) - 1, []).append(operation)
    return calls


def _add_returns(operations: Sequence[Operation], numbers: Sequence[int], by_place: Sequence[Row | None]) -> None:
    for operation in operations:
        if operation.ret is None:
            continue
        place = bisect_right(numbers, operation.ret) - 1
        while place >= 0 and by_place[place] is None:
            place -= 1
        row = by_place[place] if place >= 0 else None
        if row is not None:
            row.returned = f"{row.returned} {return_text(operation)}".strip()
