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
    is_exhausted: bool = False
    proof: int = 0
    """How many schedules the search that is exhausted ran: one of each kind."""
    found_by: str = ""
    counts: dict[str, int] = field(factory=dict)
    """How many schedules each search ran."""
    unknown: int = 0
    """How many schedules a checker gave no verdict on."""
    has_blocked: bool = False
    has_faults: bool = False
    """Whether workers were killed or stopped."""
    is_interleaved: bool = False
    """Whether any worker ever came to a point."""
    _has_operations: bool = False

    def run(self, workers: int) -> Execution | None:
        """Give the first failing schedule, or None.

        Raises:
            InvalidArgumentError: no search is called that.
        """
        if self.strategy not in NAMES:
            raise InvalidArgumentError("strategy", self.strategy, f"give one of {', '.join(NAMES)}")
        for strategy, share in self._plan(workers):
            if self.is_exhausted:
                return None
            found = search(self.stage, strategy, self.meter.part(share), seen=self._watch(strategy))
            if found is not None:
                self.found_by = strategy.name
                return found
        return None

    def _plan(self, workers: int) -> Iterator[tuple[Strategy, float]]:
        chosen = self.strategy
        if chosen in ("auto", "serial"):
            yield Serial(workers), 1.0
        if chosen in ("auto", "dpor"):
            yield from self._proofs(_SHARE_OF_DPOR if chosen == "auto" else 1.0)
        if chosen == "dfs":
            exhaustive = Bounded()
            yield exhaustive, 1.0
            self._settle(exhaustive)
        if chosen in ("auto", "random"):
            yield Turns([make(self.seed) for make in RANDOM.values()]), 1.0
        elif chosen in RANDOM:
            yield RANDOM[chosen](self.seed), 1.0

    def _proofs(self, share: float) -> Iterator[tuple[Strategy, float]]:
        """First what the accesses tell apart; if a history was recorded, then also the orders of its operations."""
        data = SourceDpor()
        yield data, share
        if data.is_exhausted and self._has_operations:
            strict = SourceDpor(is_strict=True)
            yield strict, share
            data = strict
        self._settle(data)

    def _settle(self, strategy: Strategy) -> None:
        # A worker that waited for something undeclared ran beside another one: not all was decided here. And faults can
        # come between points as well.
        self.is_exhausted = strategy.is_exhausted and not self.has_blocked and not self.has_faults
        self.proof = self.counts.get(strategy.name, 0) if self.is_exhausted else 0

    def _watch(self, strategy: Strategy) -> Callable[[Execution], None]:
        def watch(execution: Execution) -> None:
            name = strategy.name
            self.counts[name] = self.counts.get(name, 0) + 1
            self.unknown += execution.unknown is not None
            self.has_faults |= execution.has_faults
            self.has_blocked |= execution.has_blocked
            self.is_interleaved = self.is_interleaved or execution.is_interleaved
            self._has_operations |= execution.has_operations

        return watch
