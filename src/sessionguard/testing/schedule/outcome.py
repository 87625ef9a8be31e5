"""What a search found, as values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from sessionguard.testing.history import History
from sessionguard.testing.schedule.execution import Execution
from sessionguard.testing.schedule.violations import Violation


@frozen
class Failure:
    """A schedule that goes wrong, the smallest one that goes wrong in the same way, and how to run it again."""

    schedule: Execution
    """As it was found."""
    minimal: Execution
    """As small as it could be made."""
    replay_id: str
    schedules: int
    """How many had been run when it was found."""
    found_by: str = ""
    seed: int = 0
    replayed: tuple[int, int] = (0, 0)
    """How often the small one failed again, and of how many times."""
    passing: Execution | None = None
    """The same without one of its interruptions, which goes well."""
    is_undeclared: bool = False
    """Whether all schedules at the declared points had gone well before: so some declaration is wrong or missing."""
    options: str = ""
    """What a command line must say beside the id, so that the same points are seen."""

    @property
    def history(self) -> History:
        """What the callers of the small one saw."""
        return self.minimal.history

    @property
    def verdict(self) -> Violation:
        """What was wrong."""
        assert self.minimal.violation is not None
        return self.minimal.violation

    def render(self) -> str:
        """Give the small schedule as a table, in the order in which it happened, and the line that repeats it."""
        from sessionguard.testing.schedule.reports.text import render

        return render(self)

    def as_json(self) -> dict[str, Any]:
        """Give everything as plain values, with the exact choice at every step."""
        from sessionguard.testing.schedule.reports.plain import plain_failure

        return plain_failure(self)

    def write_html(self, path: Path) -> None:
        """Write the timeline as one page that needs nothing else."""
        from sessionguard.testing.schedule.reports.html import render_html

        path.write_text(render_html(self), encoding="utf-8")


@frozen
class Outcome:
    """What came of a search."""

    ok: bool
    """Whether nothing was found. Only together with `exhausted` does it say that there is nothing."""
    schedules: int
    exhausted: bool
    """Whether all schedules at the declared points were explored and judged, of these workers, without faults."""
    failure: Failure | None = None
    proof: int = 0
    """If exhausted: how many schedules there are that can come out differently."""
    workers: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(factory=dict)
    """How many schedules each search ran."""
    unknown: int = 0
    """How many schedules a checker gave no verdict on."""
    has_blocked: bool = False
    """Whether in some schedule a worker waited for something undeclared, or who is no worker came to a point."""
    waits: Mapping[str, str] = field(factory=dict)
    """Of each worker that waited for something undeclared: where it did first, and what lets the scheduler see it."""
    spinning: frozenset[str] = frozenset()
    """The workers that only went round (a spin lock), and were made to let others go on."""
    replay_is_faithful: bool | None = None
    """After a replay: whether the schedule could be followed to the end."""

    def describe(self) -> str:
        """Say in one line what was done, and no more than that."""
        if self.failure is not None:
            return f"failed at schedule {self.failure.schedules}: {self.failure.verdict.message}"
        if self.exhausted:
            line = f"all schedules at the declared points ({self.proof} kinds), {self.workers} workers, no faults"
        else:
            line = f"nothing found in {self.schedules} schedules, {self.workers} workers"
            line += f"; {self.unknown} without a verdict" if self.unknown else "; there are more"
        if self.spinning:
            line += f"; {', '.join(sorted(self.spinning))} only went round, so others were let go on first"
        if self.has_blocked:
            line += "; a worker waited for something that is no declared point, or a thread that is no worker met one"
            line += "".join(f"; worker {worker} {told}" for worker, told in sorted(self.waits.items()))
        return line

    def __bool__(self) -> bool:
        return self.ok
