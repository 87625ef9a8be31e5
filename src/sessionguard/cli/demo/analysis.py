"""What the upload app tells its user about the data; the same in the broken and in the guarded app."""

import csv
import io
from collections.abc import Iterable, Mapping


def first_table(names: Iterable[str]) -> str | None:
    """Give the CSV to analyse: the first one there, as in the incident, whose app expected only one."""
    return min((name for name in names if name.endswith(".csv")), default=None)


def analyse(table: bytes) -> Mapping[str, object]:
    """Give the app's answer about one CSV: the sentence for the user, and where its rows are from."""
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    states = sorted({row["state"].title() for row in rows})
    return {
        "message": f"All data is from {' and '.join(states)}",
        "row_count": len(rows),
        "sources": sorted({row["source"] for row in rows}),
    }
