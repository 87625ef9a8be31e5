"""Which cases of a framework's suite are excluded, and the judge that holds a run to that list.

An excluded case is run like every other. It must fail, and its failure must show the text that the list gives, so that
an exclusion cannot outlive its reason or hide another fault. It knows no test runner.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

TABLES = Path(__file__).parent / "excluded"
FIGURES = re.compile(r"\d+ run, \d+ passed, \d+ excluded")


@frozen
class Excluded:
    """Why a case cannot pass with sessionguard in place, and what its failure shows."""

    reason: str
    shows: str


@frozen
class Table:
    """What is said of one run of a framework's suite in `excluded/`."""

    name: str
    about: str
    """What is run, and how sessionguard is put in."""
    at_least: int
    """Fewer cases than this were not the suite."""
    cases: Mapping[str, Excluded]

    @classmethod
    def of(cls, name: str) -> "Table":
        """Read the table of the suite called `name`."""
        return cls.parsed(name, (TABLES / f"{name}.toml").read_text(encoding="utf-8"))

    @classmethod
    def parsed(cls, name: str, text: str) -> "Table":
        """Give the table that `text` holds, in TOML.

        Raises:
            ValueError: a case is named twice, or without a reason or a text that its failure shows.
        """
        content: dict[str, Any] = tomllib.loads(text)
        cases: dict[str, Excluded] = {}
        for group in content.get("excluded", ()):
            for case, shows in group["cases"].items():
                if case in cases or not group["reason"] or not shows:
                    raise ValueError(f"{name}: name {case} once, with a reason and what its failure shows")
                cases[case] = Excluded(group["reason"], shows)
        return cls(name, content["about"], content["at_least"], cases)

    def excluded(self, case: str) -> Excluded | None:
        """Give why `case` is excluded, by its own name or, for one of several parameters, by the name before them."""
        return self.cases.get(case) or self.cases.get(case.partition("[")[0])


@define
class Ledger:
    """What became of every case of a suite so far."""

    table: Table
    complaints: list[str] = Factory(list)
    _counts: Counter[str] = Factory(Counter)

    def failed(self, case: str, failure: str) -> str | None:
        """Note that `case` failed with the text `failure`; give what is wrong with that, None if it is excluded."""
        excluded = self.table.excluded(case)
        if excluded is None:
            self._counts["failed"] += 1
            return f"{case} fails"
        if excluded.shows not in failure:
            self._counts["failed"] += 1
            return self._complain(
                f"{case} is excluded and fails otherwise: its failure does not show {excluded.shows!r}"
            )
        self._counts["excluded"] += 1
        return None

    def passed(self, case: str) -> str | None:
        """Note that `case` passed; give what is wrong with that, None if it is not excluded."""
        if self.table.excluded(case) is None:
            self._counts["passed"] += 1
            return None
        self._counts["failed"] += 1
        return self._complain(f"{case} is excluded and passes: take it out of excluded/{self.table.name}.toml")

    def skipped(self, case: str) -> None:
        """Note that the suite skipped `case` itself, on this machine."""
        self._counts["skipped"] += 1

    def collected(self, cases: Iterable[str]) -> None:
        """Note which cases there are; what the table says of others is wrong."""
        present = set(cases)
        names = present | {case.partition("[")[0] for case in present}
        for case in self.table.cases.keys() - names:
            self._complain(f"{case} is excluded and does not exist: take it out of excluded/{self.table.name}.toml")
        if len(present) < self.table.at_least:
            self._complain(f"{len(present)} cases were found; the suite has at least {self.table.at_least}")

    def summary(self) -> str:
        """Give the figures of the run in the line that `FIGURES` matches."""
        counts = self._counts
        told = [f"{sum(counts.values())} run", f"{counts['passed']} passed", f"{counts['excluded']} excluded"]
        told += [f"{counts[kind]} {kind}" for kind in ("skipped", "failed") if counts[kind]]
        return ", ".join(told)

    def _complain(self, complaint: str) -> str:
        self.complaints.append(complaint)
        return complaint
