"""What can be wrong at the end of a schedule, as a value, and when two of them are the same failure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import field, frozen

from sessionguard.testing.history import Illegal
from sessionguard.testing.schedule.frames import last_frames
from sessionguard.testing.schedule.track import NOBODY, Track

Reason = Literal["check", "raised", "deadlock", "hung", "endless", "undeclared"]


@frozen
class Violation:
    """What was wrong, in one line, with what it is told by."""

    reason: Reason
    judge: str
    """The check that objected, the worker that raised, or the locks that wait for each other."""
    kinds: tuple[str, ...] = ()
    """The names of the operations, or of the errors, that it is about."""
    message: str = field(default="", eq=False)
    verdict: Any = field(default=None, eq=False)
    """What the checker gave, if it gave a verdict."""
    error: BaseException | None = field(default=None, eq=False, repr=False)

    @property
    def frames(self) -> tuple[str, ...]:
        """The last frames of what was raised, as a traceback shows them; empty if nothing was."""
        return () if self.reason != "raised" or self.error is None else last_frames(self.error)

    def is_like(self, other: "Violation | None") -> bool:
        """Whether both are the same failure: by the same judge, about the same kinds of operations.

        Messages may differ: they hold values that change when something is left out.
        """
        return self == other


def from_verdict(judge: str, verdict: Illegal) -> Violation:
    """Give what a checker found."""
    kinds = () if verdict.stuck is None else (verdict.stuck.name,)
    return Violation("check", judge, kinds, verdict.reason, verdict)


def from_objection(judge: str, error: AssertionError) -> Violation:
    """Give what a check raised."""
    message = str(error).strip().partition("\n")[0]
    return Violation("check", judge, (), message or f"{judge} does not hold", error=error)


def from_error(worker: str, error: BaseException) -> Violation:
    """Give what a worker raised."""
    kind = type(error).__name__
    return Violation("raised", kind, (kind,), f"worker {worker} raised {kind}: {error}", error=error)


def from_deadlock(track: Track) -> Violation:
    """Give the circle of workers who wait for each other."""
    cycle = track.wait_cycle()
    sentences = [
        f"{track.names[worker]} waits at {point.label} for {point.resource}"
        + (f", held by {track.names[holder]}" if holder != NOBODY else "")
        for worker, point, holder in cycle
    ]
    labels = tuple(sorted({point.label for _, point, _ in cycle}))
    return Violation("deadlock", "deadlock", labels, "deadlock: " + "; ".join(sentences))


def from_undeclared(sentences: Sequence[str]) -> Violation:
    """Give what steps have in common that their points do not say."""
    return Violation("undeclared", "check_points", (), sentences[0])


def from_hanging(names: Sequence[str], waits: Mapping[str, str]) -> Violation:
    """Give those who never came back, though nobody else could go on; `waits` says where they stand."""
    message = f"{', '.join(names)} waited for something that is no declared point, and never came back"
    message += "".join(f"; worker {name} {waits[name]}" for name in names if name in waits)
    return Violation("hung", "hung", (), message)
