"""Which searches are run, and in which order: what is cheap and certain first, then what finds wrong declarations."""

from collections.abc import Callable, Iterator
from typing import Final

from attrs import define, field

from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.schedule.budget import Meter
from sessionguard.testing.schedule.execution import Execution, Stage
from sessionguard.testing.schedule.searching import search
from sessionguard.testing.schedule.strategies.bounded import Bounded
from sessionguard.testing.schedule.strategies.changing import ChangingPriorities
from sessionguard.testing.schedule.strategies.dpor import SourceDpor
from sessionguard.testing.schedule.strategies.partial_order import PartialOrderSampling
from sessionguard.testing.schedule.strategies.serial import Serial
from sessionguard.testing.schedule.strategies.strategy import Strategy
from sessionguard.testing.schedule.strategies.turns import Turns
from sessionguard.testing.schedule.strategies.weighted import UniformWalk

_SHARE_OF_DPOR: Final = 0.5
"""Of what is left: a scenario too large to exhaust leaves half of the budget to the random searches."""

_AFTERWARDS: Final = (0.1, 200)
"""The share of what is left, of no more than so many schedules, for the random searches once nothing is left: they
believe no declaration, so what they find then says that one is wrong."""

RANDOM: Final[dict[str, Callable[[int], Strategy]]] = {
    "urw": UniformWalk,
    "pos": PartialOrderSampling,
    "pct2": lambda seed: ChangingPriorities(2, seed),
    "pct3": lambda seed: ChangingPriorities(3, seed),
    "pct4": lambda seed: ChangingPriorities(4, seed),
}
NAMES: Final = ("auto", "serial", "dpor", "dfs", "random", *RANDOM)


@define
class Portfolio:
    """One search after the other under one budget, until something is found or nothing is left."""

    stage: Stage
    meter: Meter
    seed: int
    strategy: str = "auto"
    found_by: str = ""
    counts: dict[str, int] = field(factory=dict)
    """How many schedules each search ran."""
    unknown: int = 0
    """How many schedules a checker gave no verdict on."""
    has_blocked: bool = False
    waits: dict[str, str] = field(factory=dict)
    """Of each worker that waited for something undeclared: where it did first, if that is known."""
    spinning: frozenset[str] = frozenset()
    """The workers that only went round, and were made to let others go on."""
    has_faults: bool = False
    """Whether workers were killed or stopped."""
    is_interleaved: bool = False
    """Whether any worker ever came to a point."""
    _has_operations: bool = False
    _finished_by: str = ""
    """The search that has nothing left."""

    @property
    def is_complete(self) -> bool:
        """Whether a search at the declared points had nothing left."""
        return bool(self._finished_by)

    @property
    def is_exhausted(self) -> bool:
        """Whether that is a proof, if nothing was found."""
        # A worker that waited for something undeclared ran beside another one: not all was decided here. Faults can
        # come between points as well. What nobody judged is not shown. And who only goes round is made to wait.
        return self.is_complete and not (self.has_blocked or self.has_faults or self.unknown or self.spinning)

    @property
    def proof(self) -> int:
        """How many schedules the search that is exhausted ran: one of each kind."""
        return self.counts.get(self._finished_by, 0) if self.is_exhausted else 0

    def run(self, workers: int) -> Execution | None:
        """Give the first failing schedule, or None.

        Raises:
            InvalidArgumentError: no search is called that.
        """
        if self.strategy not in NAMES:
            raise InvalidArgumentError("strategy", self.strategy, f"give one of {', '.join(NAMES)}")
        for strategy, meter in self._plan(workers):
            found = search(self.stage, strategy, meter, seen=self._watch(strategy))
            if found is not None:
                self.found_by = strategy.name
                return found
        return None

    def _plan(self, workers: int) -> Iterator[tuple[Strategy, Meter]]:
        chosen = self.strategy
        if chosen in ("auto", "serial"):
            yield Serial(workers, self.seed), self.meter.part(1.0)
        if chosen in ("auto", "dpor"):
            yield from self._proofs(_SHARE_OF_DPOR if chosen == "auto" else 1.0)
        if chosen == "dfs":
            exhaustive = Bounded()
            yield exhaustive, self.meter.part(1.0)
            self._settle(exhaustive)
        if chosen in ("auto", "random"):
            left = self.meter.part(*_AFTERWARDS) if self.is_complete else self.meter.part(1.0)
            yield Turns([make(self.seed) for make in RANDOM.values()]), left
        elif chosen in RANDOM:
            yield RANDOM[chosen](self.seed), self.meter.part(1.0)

    def _proofs(self, share: float) -> Iterator[tuple[Strategy, Meter]]:
        """First what the accesses tell apart; if a history was recorded, then also the orders of its operations."""
        data = SourceDpor()
        yield data, self.meter.part(share)
        if data.is_exhausted and self._has_operations:
            strict = SourceDpor(is_strict=True)
            yield strict, self.meter.part(share)
            data = strict
        self._settle(data)

    def _settle(self, strategy: Strategy) -> None:
        if strategy.is_exhausted and not self.has_blocked and not self.has_faults:
            self._finished_by = strategy.name

    def _watch(self, strategy: Strategy) -> Callable[[Execution], None]:
        def watch(execution: Execution) -> None:
            name = strategy.name
            self.counts[name] = self.counts.get(name, 0) + 1
            self.unknown += execution.unknown is not None
            self.has_faults |= execution.has_faults
            self.has_blocked |= execution.has_blocked
            self.spinning |= execution.track.spinning
            self.waits = execution.track.waits | self.waits
            self.is_interleaved = self.is_interleaved or execution.is_interleaved
            self._has_operations |= execution.has_operations

        return watch
