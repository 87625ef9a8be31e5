"""How two ways to do the same are compared: rounds of both in turn, the median of their ratios, and their spread."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence

from attrs import frozen

Run = Callable[[], object]
Side = Callable[[int], float]
"""Makes this many calls after whatever set-up they need, and gives the seconds that the calls took."""


@frozen
class Effort:
    """How much is measured."""

    rounds: int
    share: float = 1.0
    """Of the calls that a case makes in one round."""

    def calls(self, usual: int) -> int:
        """Give how many calls of a case a round has, if it usually has so many."""
        return max(1, round(usual * self.share))


@frozen
class Case:
    """Something to be measured, next to what it is compared with."""

    group: str
    name: str
    ours: Side
    bare: Side | None = None
    against: str = ""
    """What the bare side does, in a few words."""
    calls: int = 20
    """In one round."""
    aim: str = ""
    in_added_time: bool = False
    """Whether the aim is about the time that is added, instead of the ratio."""


@frozen
class Result:
    """What was measured, in microseconds a call."""

    group: str
    name: str
    ours_us: float
    bare_us: float | None
    ratio: float | None
    """The median of the ratios of the rounds; None if there is nothing to compare with."""
    ratio_low: float | None
    ratio_high: float | None
    """The quartiles of those ratios: half of the rounds lie between them."""
    added_us: float | None
    """The median of the differences of the rounds."""
    against: str
    aim: str


def measure(case: Case, effort: Effort) -> Result:
    """Measure both sides in turn, each first in every other round, so that a slow moment meets both alike."""
    calls = effort.calls(case.calls)
    ours, bare = [], []
    for number in range(effort.rounds + 1):
        gc.collect()
        first_ours = number % 2 == 0
        if first_ours:
            ours.append(case.ours(calls) / calls * 1e6)
        if case.bare is not None:
            bare.append(case.bare(calls) / calls * 1e6)
        if not first_ours:
            ours.append(case.ours(calls) / calls * 1e6)
    # The first round warms up.
    return _summary(case, ours[1:], bare[1:])


def _summary(case: Case, ours: Sequence[float], bare: Sequence[float]) -> Result:
    about = {"group": case.group, "name": case.name, "against": case.against, "aim": case.aim}
    median = statistics.median(ours)
    if not bare:
        return Result(ours_us=median, bare_us=None, ratio=None, ratio_low=None, ratio_high=None, added_us=None, **about)
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Result(
        ours_us=median,
        bare_us=statistics.median(bare),
        ratio=statistics.median(ratios),
        ratio_low=low,
        ratio_high=high,
        added_us=statistics.median(one - other for one, other in zip(ours, bare, strict=True)),
        **about,
    )


def seconds(run: Run) -> float:
    """Give how long `run` took, without pauses for garbage."""
    gc.disable()
    try:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    finally:
        gc.enable()
