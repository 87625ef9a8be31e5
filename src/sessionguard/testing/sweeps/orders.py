"""What a sweep and its processes tell each other: what to play, what to do to it where, and how it ended."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from attrs import field, frozen

from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.testing.history import History
from sessionguard.testing.sweeps.clock import SharedClock
from sessionguard.testing.sweeps.stops import Stop

Fault = Literal["kill", "pause", "jump", "fork"]
_TOLD: Final = {"kill": "killed", "pause": "stopped and woken later", "jump": "its clock jumped", "fork": "forked"}

How = Literal["returned", "raised", "killed", "stopped", "late", "died"]


@frozen
class Ended:
    """How a part of a run ended, or where it stands."""

    how: How
    value: Any = None
    """What it returned."""
    error: str = ""
    """The traceback of what it raised, or where it stood when it was not waited for any longer."""
    errors: tuple[str, ...] = ()
    """The names of the class of what it raised, and of all its bases."""
    stop: Stop | None = None
    """Where it was struck."""
    stops: int = 0
    """How many stops it came to, as far as that is known."""
    fork: "Ended | None" = None
    """How its forked child ended, if it was forked."""
    modules: tuple[str, ...] = field(default=(), repr=False)
    """What it imported."""

    def raised(self, *kinds: type[BaseException]) -> bool:
        """Whether it raised one of these."""
        return self.how == "raised" and any(name_of(kind) in self.errors for kind in kinds)

    def __str__(self) -> str:
        told = {
            "returned": f"returned {self.value!r}",
            "raised": f"raised:\n{self.error}",
            "late": f"was not over in time; it stood here:\n{self.error}",
            "died": f"died: {self.error}",
        }
        return told.get(self.how, f"was {self.how}")


@frozen
class Strike:
    """What is done at which stop: by number in a sweep, by label and occurrence when it is repeated."""

    fault: Fault
    stop: int | str
    by: timedelta = timedelta()
    """How far the clock jumps."""

    def is_at(self, stop: Stop) -> bool:
        """Whether it is to happen here."""
        return self.stop in (stop.number, stop.id)

    def id_at(self, stop: Stop) -> str:
        """The text by which exactly this is asked for again, such as `kill@rename#1` or `jump-3600@INSERT#2`."""
        return f"{self.kind}@{stop.id}"

    @property
    def kind(self) -> str:
        """The fault, with the seconds of a jump."""
        if self.fault != "jump":
            return self.fault
        # To the microsecond: what happens at an instant and a tick before it may differ.
        return "jump" + f"{self.by.total_seconds():+.6f}".rstrip("0").rstrip(".")

    @classmethod
    def parse(cls, text: str) -> "Strike":
        """Give the strike of an id. Raises `InvalidArgumentError` if it is none."""
        found = _ID.fullmatch(text)
        if found is None:
            raise InvalidArgumentError("only", text, "give the id that a report printed, such as kill@rename#1")
        fault: Any = found["fault"]
        return cls(fault, found["stop"], timedelta(seconds=float(found["by"] or 0)))

    def told_at(self, stop: Stop) -> str:
        """Say what was done where."""
        told = f"its clock jumped by {self.by}" if self.fault == "jump" else _TOLD[self.fault]
        return f"{told} at {stop}"


_ID: Final = re.compile(r"(?P<fault>kill|pause|fork|jump)(?P<by>[+-][\d.e+-]+)?@(?P<stop>.+#[1-9]\d*)", re.DOTALL)


@frozen
class Run:
    """One run of a sweep, given to each of its parts: a world of its own, a clock, and what came of the parts before.

    The parts are played in processes of their own, one after the other: prepare, operation, survivor, check.
    """

    number: int
    folder: Path
    """A new folder that only this run uses."""
    journals: Path
    """Where histories are written, beside it."""
    operation: Ended | None = None
    """How the operation ended, or that it was stopped; for the survivor and the check."""
    survivor: Ended | None = None
    """What the survivor returned; for the check, and, as None, for nobody before."""
    part: str = ""
    _clock: SharedClock | None = field(default=None, eq=False)
    kept: dict[str, Any] = field(factory=dict, eq=False)
    """What the operation has open, for `in_fork`; for nobody else, as nothing of it crosses into another process."""

    @property
    def name(self) -> str:
        """A text that no other run of this sweep has: for owners, prefixes of keys, names of schemas."""
        return f"run{self.number}"

    @property
    def clock(self) -> SharedClock:
        """The clock that all parts of the sweep share. Raises `MisuseError` outside of them."""
        if self._clock is None:
            raise MisuseError("the clock of a run is there only in its parts")
        return self._clock

    def history(self) -> History:
        """Give a history whose operations count for the model of the sweep, whatever becomes of this process."""
        return History(journal=self.journals / f"{self.part}.jsonl")


Part = Callable[[Run], Any]
"""A function of a module, or a `functools.partial` of one: it crosses into another process."""


@frozen
class Order:
    """Plays one part of a run, struck or not."""

    function: Part
    run: Run
    stops: str
    patience_seconds: float
    strike: Strike | None = None
    in_fork: Part | None = None
    counts: bool = False
    """Whether stops are counted."""
    wall_clock: bool = False
    environment: dict[str, str] = field(factory=dict, repr=False)
    """What the part sees as `os.environ`: that of whoever plays the sweep, at this moment."""


@frozen
class Wake:
    """Lets the stopped operation go on."""

    patience_seconds: float


@frozen
class Jump:
    """Moves the clock; None sets it back to where every run begins."""

    by: timedelta | None


def name_of(kind: type[BaseException]) -> str:
    """Give the full name of a class of errors."""
    return f"{kind.__module__}.{kind.__qualname__}"
