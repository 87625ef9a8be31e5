"""Remarks of cases that passed, as reports of pytest carry them: what could not be seen, and what to do about it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

REMARK: Final = "sessionguard_remark"
"""The user property of a test that holds one."""
UNJUDGED: Final = "stayed without a verdict"
"""In the remarks on what could not be judged; the others are on what was looked at between calls only."""


def remark_of(report: Any) -> str:
    """Give the remark of a test report; empty if it has none."""
    return next((str(value) for name, value in report.user_properties if name == REMARK), "")


def told(remarks: Iterable[str]) -> Iterator[str]:
    """Give a line for each different remark, with how many cases it is about."""
    for remark, count in Counter(filter(None, remarks)).most_common():
        yield f"{count} passed, but {remark}"
