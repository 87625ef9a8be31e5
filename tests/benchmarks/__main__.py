"""`python -m tests.benchmarks`: measures every subject in one run and prints what it found."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import (
    django_subject,
    file_subject,
    flask_subject,
    memory_subject,
    postgres_subject,
    redis_subject,
    sqlite_subject,
    starlette_subject,
    workspace_subject,
)
from tests.benchmarks.measuring import Effort, Result, measure
from tests.benchmarks.report import as_json, as_table

SUBJECTS = {
    sqlite_subject: "SQLite, ",
    file_subject: "files, ",
    memory_subject: "memory, ",
    flask_subject: "Flask request",
    django_subject: "Django request",
    starlette_subject: "Starlette request",
    workspace_subject: "workspace",
    redis_subject: "Redis, ",
    postgres_subject: "PostgreSQL",
}
"""What is measured, and what the names of its groups have in common."""


def measured(effort: Effort, pattern: str = "") -> list[Result]:
    """Measure every case whose group and name contain `pattern`."""
    results = []
    group, colon, _ = pattern.partition(": ")
    for subject, common in SUBJECTS.items():
        if colon and common not in group:
            # Nothing of it can match, so its servers need not be started.
            continue
        with tempfile.TemporaryDirectory() as folder, subject.cases(Path(folder)) as cases:
            results += [measure(case, effort) for case in cases if pattern in f"{case.group}: {case.name}"]
    return results


@contextmanager
def only_errors_logged() -> Iterator[None]:
    """Keep the warning about SQLite's version out of the table, and leave the logger as it was."""
    logger = logging.getLogger("sessionguard")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=60, help="how often each pair is measured (default: 60)")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual calls in a round (default: 1)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose group and name contain TEXT")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with only_errors_logged():
        results = measured(Effort(options.rounds, options.share), options.only)
    print(as_json(results) if options.json else as_table(results))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
