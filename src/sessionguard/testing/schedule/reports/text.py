"""The report for a terminal: one column for each worker, in the order in which it happened, and how to repeat it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sessionguard.testing.schedule.execution import Execution
from sessionguard.testing.schedule.reports.reproducing import reproduction
from sessionguard.testing.schedule.reports.rows import Row, rows_of

if TYPE_CHECKING:
    from sessionguard.testing.schedule.outcome import Failure

_WIDEST: Final = 72
_HEADINGS: Final = {
    "check": "RACE",
    "raised": "ERROR",
    "deadlock": "DEADLOCK",
    "hung": "HANG",
    "endless": "NO END",
    "undeclared": "UNDECLARED",
}
UNDECLARED: Final = (
    "all schedules that the declared points tell apart went well, so a declaration is wrong: "
    "an access has no point, or a point names another resource or mode"
)
_PREEMPTED: Final = "~~~ preempted ~~~"


def render(failure: "Failure") -> str:
    """Give the whole report."""
    lines = [heading(failure), *table(failure.minimal, failure.verdict.message)]
    lines.append(f"  reproduce: {reproduction(failure.replay_id, failure.options)}")
    again, tries = failure.replayed
    if again < tries:
        lines.append(f"  that id brought the failure back in {again} of {tries} runs: chance, or time, decides, too")
    if failure.is_undeclared:
        lines.append(f"  {UNDECLARED}")
    if failure.verdict.frames:
        lines += ["  raised here (most recent call last):", *(f"  {line}" for line in failure.verdict.frames)]
    verdict = failure.verdict.verdict
    if verdict is not None:
        lines += [f"  {line}" for line in verdict.render().splitlines()]
    return "\n".join(lines)


def heading(failure: "Failure") -> str:
    """Give the line that says what is wrong and what it took to find and to shrink it."""
    found, small = failure.schedule, failure.minimal
    details = [
        f"schedule {failure.schedules}, by {failure.found_by}",
        f"seed {failure.seed}",
        f"shrunk {len(found.steps)}->{len(small.steps)} points, {len(found.workers)}->{len(small.workers)} workers",
        "1 preemption" if small.preemptions == 1 else f"{small.preemptions} preemptions",
        "replayed {}/{}".format(*failure.replayed),
    ]
    # What fails though nobody was interrupted is wrong in some order of whole workers, or in all.
    is_race = failure.verdict.reason != "check" or small.preemptions > 0
    word = _HEADINGS[failure.verdict.reason] if is_race else "FAILURE"
    return f"{word}  {failure.verdict.message}   ({'; '.join(details)})"


def table(execution: Execution, message: str = "") -> list[str]:
    """Give the schedule as lines; the last row points at `message`."""
    told = rows_of(execution)
    columns = sorted({row.worker for row in told})
    rows = [_cells(row, columns) for row in told]
    heads = [f"worker {execution.names[worker]}" for worker in columns]
    if any(row.state for row in told):
        heads.append("state")
        for cells, row in zip(rows, told, strict=True):
            cells.append(row.state)
    widths = [
        min(_WIDEST, max([len(head), *(len(cells[column]) for cells in rows)])) for column, head in enumerate(heads)
    ]
    lines = [_line("  #", heads, widths)]
    lines += [_line(f"{number:3}", cells, widths) for number, cells in enumerate(rows, 1)]
    if message and rows:
        lines[-1] += f"  <-- {message}"
    return lines


def _cells(row: Row, columns: Sequence[int]) -> list[str]:
    cells = dict.fromkeys(columns, "")
    text = row.text if row.kind == "call" else f"  {row.text}"
    cells[row.worker] = f"{text}  {row.returned}" if row.returned else text
    if row.is_blocked:
        cells[row.worker] += "  (waits for something undeclared)"
    if row.preempted is not None and row.preempted in cells:
        cells[row.preempted] = f"  {_PREEMPTED}"
    return list(cells.values())


def _line(number: str, cells: list[str], widths: list[int]) -> str:
    fitted = (_fitted(cell, width) for cell, width in zip(cells, widths, strict=True))
    return f"{number} | {' | '.join(fitted)} |"


def _fitted(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"
