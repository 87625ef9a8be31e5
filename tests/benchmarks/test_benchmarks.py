"""The benchmarks run; what they measure is not judged."""

import json
import logging
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import main, measured
from tests.benchmarks.measuring import Case, Effort, measure
from tests.benchmarks.sqlite_subject import SCRIPTS

ENGINES = ("Redis", "PostgreSQL")
"""Measured where the engine is installed."""


def test_every_case_runs() -> None:
    """With the smallest counts every call of every guard, store and request is measured."""
    results = measured(Effort(rounds=1, share=0.01))
    groups = [result.group for result in results]
    assert {group: groups.count(group) for group in groups if not group.startswith(ENGINES)} == {
        "SQLite, blocking": len(SCRIPTS),
        "SQLite, async": len(SCRIPTS),
        "files, blocking": len(SCRIPTS),
        "memory, blocking": len(SCRIPTS),
        "Django request": 4,
        "Flask request": 4,
        "Starlette request": 4,
        "local workspace, by MiB": 6,
    }
    assert all(result.ours_us > 0 for result in results)


@pytest.mark.parametrize("form", ["table", "json"])
def test_the_command_prints_a_table_or_json(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One run prints the versions, and for each case its time, the bare time and the aim."""
    main(
        [
            "--rounds",
            "2",
            "--share",
            "0.01",
            "--only",
            "SQLite, blocking: load",
            *(["--json"] if form == "json" else []),
        ]
    )
    printed = capsys.readouterr().out
    if form == "json":
        assert [result["name"] for result in json.loads(printed)["results"]] == [
            "load", "load, touch due", "load, unknown token",
        ]  # fmt: skip
    else:
        assert "SQLite, blocking" in printed
        assert "<= 3x" in printed


def test_the_command_leaves_the_log_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever calls it goes on logging warnings afterwards."""
    main(["--rounds", "1", "--share", "0.01", "--only", "no such group: no such case"])
    assert logging.getLogger("sessionguard").level == logging.NOTSET


def test_no_subject_is_forgotten() -> None:
    """Each file of a subject is part of the run."""
    named = {path.stem for path in Path(__file__).parent.glob("*_subject.py")}
    main_text = Path(__file__).with_name("__main__.py").read_text(encoding="utf-8")
    assert {name for name in named if f"{name}" not in main_text} == set()


def test_the_ratio_is_that_of_the_rounds() -> None:
    """The median of the ratios of the rounds after the first, which warms up, is given with their quartiles."""
    ours, bare = iter([9.0, 2.0, 4.0, 6.0]), iter([1.0, 1.0, 2.0, 1.0])
    result = measure(Case("g", "n", lambda n: next(ours), lambda n: next(bare), calls=1), Effort(rounds=3))
    assert (result.ratio, result.ratio_low, result.ratio_high) == (2.0, 2.0, 6.0)
    assert result.added_us == pytest.approx(2e6)
