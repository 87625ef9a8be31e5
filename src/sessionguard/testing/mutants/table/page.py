"""The kill matrix as a page of the documentation."""

import platform
from collections.abc import Sequence
from itertools import groupby

from sessionguard.testing.mutants.table.measuring import Cell, marginal, median, p95
from sessionguard.testing.mutants.table.rows import LAYERS, Layer

_BEGINNING = """\
# Kill matrix

A proof that cannot fail proves nothing. So the test harness is put to planted bugs: each kind of bug that it is there
for, as a small implementation that is wrong in that one way, beside a twin that does the same right. A layer of the
harness *kills* a mutant if it fails on it.

This page is written by `python -m sessionguard.testing.mutants --seeds {seeds} --schedules {schedules} --markdown
docs/reference/kill-matrix.md`. `make test` proves the cells that are required with a few seeds, `make test-deep` with a
hundred. The mutants are in `sessionguard.testing.mutants`.

The layers:

* **C**, contract: the cases of the [store contract](../how-to/test-your-own-store.md) that have one caller, or fixed
  names of files;
* **H**, Hypothesis: traces of commands, or names, that are drawn and compared with a model;
* **I**, interleaver and checker: callers in every order, or in many, as in [Find races](../how-to/find-races.md);
* **K**, faults: kill -9 and SIGSTOP at every point, cancellation at every await, clocks that jump, forks, as in
  [Inject faults](../how-to/inject-faults.md).

A cell tells with how many seeds the mutant was killed, **bold** where the layer must kill it; the others were tried
with a few seeds. In an empty cell, the layer cannot examine this. *First kill* is what layer I needed: schedules, and
seconds of processor time with everything around them.

"""


def page(cells: Sequence[Cell], twins: Sequence[Cell], seeds: int, schedules: int) -> str:
    """Give the page."""
    return "".join(
        [
            _BEGINNING.format(seeds=seeds, schedules=schedules),
            _matrix(cells),
            _summary(cells),
            _twins(twins),
            f"\nMeasured with Python {platform.python_version()} on {platform.system()}.\n",
        ]
    )


def _matrix(cells: Sequence[Cell]) -> str:
    lines = [
        "## Mutants\n\n",
        "| row | bug | mutant | C | H | I | K | first kill: schedules, median | p95 | CPU s, p95 |\n",
        "|---|---|---|---|---|---|---|---|---|---|\n",
    ]
    for _, of_mutant in groupby(cells, key=lambda cell: (cell.row.title, cell.specimen.name)):
        lines.append(_line(list(of_mutant)))
    return "".join(lines)


def _line(cells: Sequence[Cell]) -> str:
    row, specimen = cells[0].row, cells[0].specimen
    by_layer = {cell.layer: cell for cell in cells}
    shown = [_shown(by_layer.get(layer)) for layer in LAYERS]
    races = by_layer.get("I")
    figures = ["", "", ""]
    if races is not None and races.is_killed:
        figures = [f"{median(races.tries):g}", f"{p95(races.tries):g}", f"{p95(races.seconds):.2f}"]
    told = [str(row.number), row.title, f"`{specimen.name}`: {specimen.told}", *shown, *figures]
    return f"| {' | '.join(told)} |\n"


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    share = f"{cell.killed}/{len(cell.findings)}"
    return f"**{share}**" if cell.is_required else share


def _summary(cells: Sequence[Cell]) -> str:
    lines = [
        "\n## Layers\n\n",
        "| layer | required cells | killed with every seed | seconds, p95 | mutants that no other layer kills |\n",
        "|---|---|---|---|---|\n",
    ]
    alone = marginal(cells)
    for layer, told in LAYERS.items():
        required = [cell for cell in cells if cell.layer == layer and cell.is_required]
        if required:
            seconds = p95([one for cell in required for one in cell.seconds])
            killed = sum(cell.is_killed for cell in required)
            names = f"{len(alone[layer])}: {_names(alone[layer])}" if alone[layer] else "0"
            lines.append(f"| {layer}, {told} | {len(required)} | {killed} | {seconds:.2f} | {names} |\n")
    lines.append(
        "\nSeconds are processor time of the testing process up to the kill; for K, which works in other processes, "
        "they are by the clock.\n"
    )
    return "".join(lines)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _twins(twins: Sequence[Cell]) -> str:
    schedules = sum(sum(cell.tries) for cell in twins if cell.layer == "I")
    alarms = sum(cell.killed for cell in twins)
    lines = [
        "\n## Twins and variants that only look wrong\n\n",
        f"The same done right, in every layer of its row: {alarms} false alarms in {schedules:,} schedules of layer I, "
        "and in all that the other layers did.\n\n",
        "| row | implementation | layers | schedules | false alarms |\n",
        "|---|---|---|---|---|\n",
    ]
    for _, of_twin in groupby(twins, key=lambda cell: (cell.row.title, cell.specimen.name)):
        same = list(of_twin)
        layers: list[Layer] = list(dict.fromkeys(cell.layer for cell in same))
        played = sum(sum(cell.tries) for cell in same if cell.layer == "I")
        row, specimen = same[0].row, same[0].specimen
        killed = sum(cell.killed for cell in same)
        told = [
            str(row.number),
            f"`{specimen.name}`: {specimen.told}",
            " ".join(layers),
            f"{played or ''}",
            str(killed),
        ]
        lines.append(f"| {' | '.join(told)} |\n")
    return "".join(lines)
