"""The kill matrix as figures: how often, how soon and by whom each mutant is killed; whether the twins are spared."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from sessionguard.testing.mutants.table.racing import Race
from sessionguard.testing.mutants.table.rows import Effort, Finding, Layer, Make, Row, Specimen, Trial
from sessionguard.testing.servers import EngineMissingError

_SEEDS_BESIDE = 3
"""Of cells that are not required."""

Tell = Callable[[str], None]


@frozen
class Cell:
    """One implementation in one layer, with every seed."""

    row: Row
    specimen: Specimen
    layer: Layer
    findings: tuple[Finding, ...]
    seconds: tuple[float, ...] = field(repr=False)
    """How long each took: processor time of this process, for K, which works in others, by the clock."""

    @property
    def is_required(self) -> bool:
        """Whether this layer must kill the mutants of the row."""
        return self.layer in self.row.required

    @property
    def killed(self) -> int:
        """With how many seeds it was killed."""
        return sum(finding.is_killed for finding in self.findings)

    @property
    def is_killed(self) -> bool:
        """Whether it was killed with every seed."""
        return self.killed == len(self.findings) > 0

    @property
    def tries(self) -> list[int]:
        """How much was played with each seed: until the first kill, or in all."""
        return [finding.tries for finding in self.findings]


def p95(values: Sequence[float]) -> float:
    """Give the value that at most one in twenty exceeds."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * 19 // 20) - 1)]


def median(values: Sequence[float]) -> float:
    """Give the one in the middle."""
    return statistics.median(values)


def measure(
    rows: Iterable[Row], layers: Iterable[Layer], seeds: int, *, beside: int = _SEEDS_BESIDE, tell: Tell = print
) -> Iterator[Cell]:
    """Examine every mutant in every layer: with all seeds where the row requires it, else with a few, `beside`.

    What needs an engine that is not here is left out, and told.
    """
    for row in rows:
        for mutant in row.mutants:
            try:
                with mutant.ready() as make:
                    for layer in row.cells(mutant):
                        if layer in layers:
                            count = seeds if layer in row.required else min(beside, seeds)
                            if count:
                                yield examine(row, mutant, layer, make, range(count))
            except EngineMissingError as error:
                tell(f"{mutant.name} was left out: {error}")


def examine(
    row: Row, specimen: Specimen, layer: Layer, make: Make, seeds: Iterable[int], effort: Effort | None = None
) -> Cell:
    """Give what one layer finds in one implementation with each seed."""
    findings, seconds = [], []
    clock = time.perf_counter if layer == "K" else time.process_time
    for seed in seeds:
        began = clock()
        findings.append(played(row.trials[layer], make, evolve(effort or Effort(), seed=seed)))
        seconds.append(clock() - began)
    return Cell(row, specimen, layer, tuple(findings), tuple(seconds))


def played(trial: Trial, make: Make, effort: Effort) -> Finding:
    """Give what a trial finds, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        return trial(make, Path(folder), effort)


def spare(
    rows: Iterable[Row],
    layers: Iterable[Layer],
    schedules: int,
    *,
    seed: int = 0,
    examples: int = 100,
    tell: Tell = print,
) -> Iterator[Cell]:
    """Examine every twin in every layer; those of layer I share so many random schedules, beside all that there are."""
    examined = [(row, twin) for row in rows for twin in row.twins]
    racing = sum("I" in row.cells(twin) for row, twin in examined)
    share = -(-schedules // max(1, racing))
    for row, twin in examined:
        try:
            with twin.ready() as make:
                for layer in row.cells(twin):
                    if layer in layers:
                        yield examine(row, twin, layer, make, [seed], Effort(examples=examples))
                        if isinstance(row.trials[layer], Race):
                            effort = Effort(schedules=share, seconds=600.0, strategy="random")
                            yield examine(row, twin, layer, make, [seed], effort)
        except EngineMissingError as error:
            tell(f"{twin.name} was left out: {error}")


def marginal(cells: Iterable[Cell]) -> dict[Layer, list[str]]:
    """Give for each layer the mutants that it kills with every seed, and no other layer with any."""
    killers: dict[str, set[Layer]] = {}
    sure: dict[str, set[Layer]] = {}
    for cell in cells:
        if cell.killed:
            killers.setdefault(cell.specimen.name, set()).add(cell.layer)
        if cell.is_killed:
            sure.setdefault(cell.specimen.name, set()).add(cell.layer)
    alone: dict[Layer, list[str]] = {"C": [], "H": [], "I": [], "K": []}
    for name, layers in killers.items():
        if len(layers) == 1 and sure.get(name) == layers:
            alone[next(iter(layers))].append(name)
    return alone
