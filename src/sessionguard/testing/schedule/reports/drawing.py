"""The drawing of a schedule as inline SVG: a lane for each worker, time from left to right."""

import itertools
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from sessionguard.testing.history import Operation
from sessionguard.testing.schedule.accesses import CLOCK
from sessionguard.testing.schedule.execution import Execution
from sessionguard.testing.schedule.reports.rows import call_text, return_text
from sessionguard.testing.schedule.track import Step
from sessionguard.testing.schedule.violations import Violation

MOST_EVENTS: Final = 5_000
"""More are not drawn: no reader follows them, and no browser shows them in time."""

_LANE, _LEFT, _TOP, _BAR = 72, 150, 24, 26
_WIDTH_OF_EVENT: Final = 56


def drawing(execution: Execution, violation: Violation) -> str:
    """Give the drawing; of a long schedule its first `MOST_EVENTS` events."""
    steps = [step for step in execution.steps if step.point.mode not in ("call", "-")]
    operations = list(execution.history.operations)
    left = max(0, len(steps) + 2 * len(operations) - MOST_EVENTS)
    if left:
        steps, operations = steps[: MOST_EVENTS // 2], operations[: MOST_EVENTS // 4]
    places = _places(steps, operations)
    width = _LEFT + (len(places) + 2) * _WIDTH_OF_EVENT
    height = _TOP + len(execution.names) * _LANE + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">']
    parts += _lanes(execution.names, width)
    parts += _bars(execution, operations, places, violation)
    parts += _ticks(steps, places)
    parts += _switches(steps, places)
    if left:
        parts.append(f'<text x="{_LEFT}" y="{height - 8}">{left} more events are not drawn</text>')
    return "".join([*parts, "</svg>"])


def _places(steps: Sequence[Step], operations: Sequence[Operation]) -> dict[int, int]:
    """Give for each number of the counter that anything happened at its place from the left."""
    numbers = {step.number for step in steps}
    for operation in operations:
        numbers |= {operation.call} | ({operation.ret} if operation.ret is not None else set())
    return {number: place for place, number in enumerate(sorted(numbers))}


def _x(place: int) -> int:
    return _LEFT + (place + 1) * _WIDTH_OF_EVENT


def _y(lane: int) -> int:
    return _TOP + lane * _LANE + _LANE // 2


def _lanes(names: Sequence[str], width: int) -> Iterator[str]:
    for lane, name in enumerate(names):
        yield f'<line class="lane" x1="{_LEFT}" x2="{width}" y1="{_y(lane)}" y2="{_y(lane)}"/>'
        yield f'<text x="8" y="{_y(lane) + 4}">{escape(name)}</text>'


def _bars(
    execution: Execution, operations: Sequence[Operation], places: dict[int, int], violation: Violation
) -> Iterator[str]:
    verdict = violation.verdict
    legal = {} if verdict is None else {_key(each): number for number, each in enumerate(verdict.prefix, 1)}
    stuck = None if verdict is None or verdict.stuck is None else _key(verdict.stuck)
    for operation in operations:
        lane = _lane_of(execution, operation)
        begin = _x(places[operation.call])
        end = _x(len(places)) if operation.ret is None else _x(places[operation.ret])
        style = "stuck" if _key(operation) == stuck else "legal" if _key(operation) in legal else "op"
        number = f"{legal[_key(operation)]}. " if _key(operation) in legal else ""
        text = escape(f"{number}{call_text(operation)} {return_text(operation)}")
        top = _y(lane) - _BAR // 2
        yield (
            f'<g><title>{text}</title><rect class="{style}" x="{begin}" y="{top}" width="{max(8, end - begin)}" '
            f'height="{_BAR}" rx="4"/><text x="{begin}" y="{top - 5}">{text}</text></g>'
        )


def _key(operation: Operation) -> tuple[str, int]:
    return operation.client, operation.call


def _lane_of(execution: Execution, operation: Operation) -> int:
    """Give the worker that called it: the one that was running then."""
    lane = 0
    for step in execution.steps:
        if step.number > operation.call:
            break
        lane = step.worker
    return lane


def _ticks(steps: Sequence[Step], places: dict[int, int]) -> Iterator[str]:
    for step in steps:
        x, y = _x(places[step.number]), _y(step.worker)
        style = "clock" if step.point.resource == CLOCK and step.point.mode == "w" else "tick"
        told = escape(f"{step.point} -> {step.state}" if step.state else str(step.point))
        yield (
            f'<g><title>{told}</title><line class="{style}" x1="{x}" x2="{x}" y1="{y - 8}" y2="{y + 8}"/>'
            f'<text x="{x - 10}" y="{y + 26}">{escape(step.point.label[:8])}</text></g>'
        )


def _switches(steps: Sequence[Step], places: dict[int, int]) -> Iterator[str]:
    for before, after in itertools.pairwise(steps):
        if after.worker != before.worker and before.worker in after.enabled:
            x1, x2 = _x(places[before.number]) + 6, _x(places[after.number]) - 6
            yield f'<line class="switch" x1="{x1}" x2="{x2}" y1="{_y(before.worker)}" y2="{_y(after.worker)}"/>'
