"""What was measured, as a table for people and as JSON for programs."""

import json
import platform
import sqlite3
from collections.abc import Sequence

import attrs

from tests.benchmarks.measuring import Result

_HEAD = ("call", "us", "bare us", "ratio", "quartiles", "added us", "aim")
_WIDTHS = (26, 9, 9, 7, 13, 9, 10)


def surroundings() -> dict[str, str]:
    """Give what the figures depend on, without naming the machine."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
    }


def as_json(results: Sequence[Result]) -> str:
    """Give all figures as one JSON object."""
    return json.dumps(
        {"surroundings": surroundings(), "results": [attrs.asdict(result) for result in results]}, indent=2
    )


def as_table(results: Sequence[Result]) -> str:
    """Give all figures as a table with a heading for each group."""
    lines = [", ".join(f"{name} {value}" for name, value in surroundings().items())]
    group = ""
    for result in results:
        if result.group != group:
            group = result.group
            lines += ["", group, _row(_HEAD)]
        lines.append(_row(_cells(result)))
    return "\n".join(lines)


def _cells(result: Result) -> tuple[str, ...]:
    if result.bare_us is None:
        return (result.name, f"{result.ours_us:.1f}", "", "", "", "", result.aim)
    return (
        result.name,
        f"{result.ours_us:.1f}",
        f"{result.bare_us:.1f}",
        f"{result.ratio:.2f}x",
        f"{result.ratio_low:.2f}-{result.ratio_high:.2f}",
        f"{result.added_us:.1f}",
        result.aim,
    )


def _row(cells: Sequence[str]) -> str:
    first, *others = zip(cells, _WIDTHS, strict=True)
    return "  " + first[0].ljust(first[1]) + "".join(cell.rjust(width) for cell, width in others)
