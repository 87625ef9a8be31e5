"""What the table is made of, as values: specimens, rows, layers, and what a layer found."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from attrs import field, frozen

Layer = Literal["C", "H", "I", "K"]
LAYERS: Final[Mapping[Layer, str]] = {
    "C": "contract: fixed cases, one caller",
    "H": "Hypothesis: drawn traces, one caller",
    "I": "interleaver and checker",
    "K": "kills, pauses, cancellations, clocks, forks",
}

Make = Callable[[Path], Any]
"""Gives the implementation anew; what it keeps in files lies in the given folder."""


@frozen
class Effort:
    """How hard a layer tries before it lets an implementation pass, and with which luck."""

    seed: int = 0
    schedules: int = 2_000
    seconds: float = 30.0
    strategy: str = "auto"
    """Of the search for schedules."""
    examples: int = 300
    """Traces that Hypothesis draws."""


@frozen
class Finding:
    """What came of one layer on one implementation."""

    is_killed: bool
    tries: int
    """Cases, traces, schedules or faults that were played: until it was killed, or in all."""
    why: str = ""
    """What was wrong, in one line."""


class Trial(Protocol):
    """How one layer examines an implementation; it leaves nothing behind."""

    def __call__(self, make: Make, folder: Path, effort: Effort) -> Finding:
        """Examine it in an empty folder."""


@frozen
class Specimen:
    """One implementation: a planted bug, a fixed twin, or a variant that only looks wrong."""

    name: str
    told: str
    """What is done in it, in one line."""
    make: Make = field(repr=False)
    layers: frozenset[Layer] | None = None
    """Where it can be examined; None: in every layer of its row."""
    engine: Callable[[], AbstractContextManager[Any]] | None = field(default=None, repr=False)
    """Starts what it needs, whose value `make` is given before the folder.

    It raises `EngineMissingError` where that cannot be had.
    """

    def ready(self) -> AbstractContextManager[Make]:
        """Give a context in which there is what `make` needs; its value makes the implementation."""
        return nullcontext(self.make) if self.engine is None else _Running(self.engine(), self.make)


class _Running(AbstractContextManager[Make]):
    def __init__(self, engine: AbstractContextManager[Any], make: Callable[..., Any]) -> None:
        self._engine, self._make = engine, make

    def __enter__(self) -> Make:
        server = self._engine.__enter__()
        return lambda folder: self._make(server, folder)

    def __exit__(self, *error: Any) -> None:
        self._engine.__exit__(*error)


@frozen
class Row:
    """One kind of bug, with all that it is examined by."""

    number: int
    title: str
    required: frozenset[Layer]
    """The layers that must kill each of its mutants."""
    mutants: tuple[Specimen, ...]
    twins: tuple[Specimen, ...]
    """The same done right; the first one is the fixed twin."""
    trials: Mapping[Layer, Trial] = field(repr=False)
    """Every layer that can examine them, required or not."""

    def cells(self, specimen: Specimen) -> Iterator[Layer]:
        """Give the layers in which a specimen is examined, in the order of the alphabet."""
        return (layer for layer in sorted(self.trials) if specimen.layers is None or layer in specimen.layers)


def specimen(kind: Callable[..., Any], make: Make | None = None, **details: Any) -> Specimen:
    """Give the specimen of a class that is made with the folder; its docstring tells what is done in it."""
    told = " ".join((kind.__doc__ or "").split())
    return Specimen(kind.__name__, told, make or kind, **details)
