"""`python -m sessionguard.testing.mutants`: measures the kill matrix, shows it, and writes it for the documentation."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from sessionguard.testing.mutants.table.catalogue import ROWS
from sessionguard.testing.mutants.table.measuring import Cell, measure, spare
from sessionguard.testing.mutants.table.page import page
from sessionguard.testing.mutants.table.rows import LAYERS


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and give 0 if every required cell was killed with every seed and no twin in any layer, else 1."""
    parsed = _parsed(arguments)
    rows = [row for row in ROWS if not parsed.rows or row.number in parsed.rows]
    cells = [_shown(cell, parsed) for cell in measure(rows, parsed.layers, parsed.seeds, tell=_warn)]
    twins = [_shown(cell, parsed) for cell in spare(rows, parsed.layers, parsed.schedules, tell=_warn)]
    if parsed.markdown is not None:
        parsed.markdown.write_text(page(cells, twins, parsed.seeds, parsed.schedules), encoding="utf-8")
    survivors = [cell for cell in cells if cell.is_required and not cell.is_killed]
    alarms = [cell for cell in twins if cell.killed]
    required = sum(cell.is_required for cell in cells)
    schedules = sum(sum(cell.tries) for cell in twins if cell.layer == "I")
    _tell(f"{required - len(survivors)} of {required} required cells killed with every seed")
    _tell(f"{len(alarms)} false alarms in {schedules} schedules")
    return 1 if survivors or alarms else 0


def _parsed(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m sessionguard.testing.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="per required cell; the others take 3 at most")
    parser.add_argument("--schedules", type=int, default=5_000, help="random schedules that all twins share")
    parser.add_argument("--rows", type=int, nargs="*", help="only rows of these numbers")
    parser.add_argument("--layers", nargs="*", choices=[*LAYERS], default=[*LAYERS], help="only these layers")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page of the documentation")
    parser.add_argument("--quiet", action="store_true", help="show the totals alone")
    return parser.parse_args(arguments)


def _shown(cell: Cell, parsed: Namespace) -> Cell:
    if not parsed.quiet:
        is_twin = cell.specimen in cell.row.twins
        must = "must not" if is_twin else "must" if cell.is_required else ""
        told = (
            f"{cell.row.number:>3} {cell.specimen.name:<28} {cell.layer} {must:<8} {cell.killed}/{len(cell.findings)}"
        )
        _tell(f"{told}  tries {min(cell.tries)} to {max(cell.tries)}")
    return cell


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _warn(message: str) -> None:
    sys.stderr.write(f"{message}\n")


if __name__ == "__main__":
    sys.exit(main())
