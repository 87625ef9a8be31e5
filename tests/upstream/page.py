"""`python -m tests.upstream.page` writes `docs/reference/upstream.md` from the tables of excluded cases."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from textwrap import fill

from tests.upstream.__main__ import SUITES
from tests.upstream.exclusions import Table
from tests.upstream.sources import REPOSITORY

PAGE = REPOSITORY / "docs" / "reference" / "upstream.md"

_INTRODUCTION = """\
# Suites of the frameworks

The users of a framework rely on what its own tests say. So `make test-upstream` runs those tests, out of the source
distributions of the frameworks, with their sessions kept by sessionguard; it is part of what a change must pass.

Not every case can pass: some test how the framework's own sessions are kept. This page names each of them with its
reason. They are run like all others, and must fail with the text that their table in `tests/upstream/excluded/` gives:
one that passes, fails otherwise or does not exist any more makes the run red.

This page is written from those tables by `python -m tests.upstream.page`.
"""


def page(tables: Iterable[Table]) -> str:
    """Give the whole page."""
    lines = [_INTRODUCTION, *(line for table in tables for line in _section(table))]
    return "\n".join(lines).rstrip() + "\n"


def tables() -> list[Table]:
    """Give the tables of all suites, in the order in which they are run."""
    return [Table.of(name) for name in SUITES]


def _section(table: Table) -> Iterator[str]:
    framework, _, part = table.name.partition("-")
    yield f"## {framework.capitalize()}{part and f', {part}'}\n\n{_wrapped(table.about)}\n"
    yield f"{len(table.cases) or 'No'} case{'s are' if len(table.cases) != 1 else ' is'} excluded.\n"
    for reason, cases in groupby(table.cases, lambda case: table.cases[case].reason):
        yield f"* {_wrapped(reason, '  ')}\n"
        yield from (f"  * `{case}`" for case in cases)
        yield ""


def _wrapped(text: str, indent: str = "") -> str:
    return fill(text, 120 - len(indent), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(tables()), encoding="utf-8")
