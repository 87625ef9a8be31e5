"""The fixture `interleave`, in a project of somebody else."""

import json
import re
from pathlib import Path

import pytest

from sessionguard.testing import plugin

RACE = """
from sessionguard.core.points import point
from sessionguard.testing.history import Unknown

def scenario(s):
    rows = []

    def insert(me):
        point("SELECT", "rows", "r")
        if not rows:
            point("INSERT", "rows", "w")
            rows.append(me)

    def one_row(history):
        assert len(rows) <= 1

    for name in "ab":
        s.worker(name, lambda name=name: insert(name))
    s.check(one_row)

def correct(s):
    s.worker("a", lambda: point("INSERT", "rows", "w"))
    s.worker("b", lambda: point("INSERT", "rows", "w"))

def test_race(interleave):
    interleave(scenario)

def test_twin(interleave):
    assert interleave(correct, proof=True).exhausted

def test_unknown(interleave):
    def gives_up(history):
        return Unknown("no time")

    def undecided(s):
        correct(s)
        s.check(gives_up)

    interleave(undecided)

def test_no_proof(interleave):
    interleave(correct, strategy="urw", schedules=5, proof=True)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> "Run":
    """A project with one race, one correct scenario and one search that proves nothing."""
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n")
    pytester.makepyfile(test_mine=RACE)
    is_installed = request.config.pluginmanager.get_plugin("sessionguard") is plugin
    return Run(pytester, () if is_installed else ("-p", "sessionguard.testing.plugin"))


class Run:
    """Runs the project."""

    def __init__(self, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
        self.pytester, self._options = pytester, options

    def __call__(self, *arguments: str) -> pytest.RunResult:
        options = ("-p", "no:cacheprovider", "-p", "no:xdist", *self._options)
        return self.pytester.runpytest_inprocess(*options, *arguments)


def test_a_race_fails_the_test_with_its_report(run: Run) -> None:
    """The failure is the table, with the command that repeats it; that command fails in the same way."""
    result = run("test_mine.py::test_race")
    result.assert_outcomes(failed=1)
    shown = result.stdout.str()
    assert "~~~ preempted ~~~" in shown
    found = re.search(r"reproduce: pytest (\S+) --sg-replay='([^']+)'", shown)
    assert found is not None
    again = run(found[1], f"--sg-replay={found[2]}")
    again.assert_outcomes(failed=1)
    assert "by replay" in again.stdout.str()


def test_a_correct_scenario_passes_and_can_be_proved(run: Run) -> None:
    """With `proof` a test passes only if all schedules at the declared points were explored."""
    run("test_mine.py::test_twin").assert_outcomes(passed=1)
    result = run("test_mine.py::test_no_proof")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no proof: nothing found in 5 schedules*"])


def test_reports_are_left_where_they_are_wanted(run: Run, tmp_path: Path) -> None:
    """`--sg-artifacts` gets a page and a JSON file for each race that was found, and nothing for the others."""
    folder = tmp_path / "reports"
    run(f"--sg-artifacts={folder}", "--sg-seed=3")
    assert sorted(path.name for path in folder.iterdir()) == ["test_race.html", "test_race.json"]
    assert json.loads((folder / "test_race.json").read_text())["failure"]["seed"] == 3


def test_the_budget_comes_from_the_command_line(run: Run) -> None:
    """One schedule is not enough to find the race."""
    run("test_mine.py::test_race", "--sg-schedules=1").assert_outcomes(passed=1)


def test_a_check_that_gave_up_fails_the_deep_profile(run: Run) -> None:
    """Locally it is only told; where counts are large it is a failure."""
    run("test_mine.py::test_unknown").assert_outcomes(passed=1)
    result = run("test_mine.py::test_unknown", "--sg-profile=deep", "--sg-schedules=5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a check gave up*"])
