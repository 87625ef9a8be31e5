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

def test_no_verdict_is_no_proof(interleave):
    def undecided(s):
        correct(s)
        s.check(lambda history: Unknown("no time"))

    interleave(undecided, proof=True)

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
        options = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest", *self._options)
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


def test_what_nobody_judged_is_not_proved(run: Run) -> None:
    """A check that gave up on every schedule fails a test that asks for a proof, in every profile."""
    result = run("test_mine.py::test_no_verdict_is_no_proof", "-W", "ignore")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no proof: nothing found in *; * without a verdict*"])


def test_reports_are_left_where_they_are_wanted(run: Run, tmp_path: Path) -> None:
    """`--sg-artifacts` gets a page and a JSON file for each race that was found, and nothing for the others."""
    folder = tmp_path / "reports"
    run(f"--sg-artifacts={folder}", "--sg-seed=3")
    assert sorted(path.name for path in folder.iterdir()) == ["test_mine.test_race.html", "test_mine.test_race.json"]
    saved = json.loads((folder / "test_mine.test_race.json").read_text())
    assert saved["failure"]["seed"] == 3
    assert (saved["test"], saved["scenario"]) == ("test_mine.py::test_race", "test_mine:scenario")


def test_the_budget_comes_from_the_command_line(run: Run) -> None:
    """One schedule is not enough to find the race."""
    run("test_mine.py::test_race", "--sg-schedules=1").assert_outcomes(passed=1)


def test_a_check_that_gave_up_warns_here_and_fails_the_deep_profile(run: Run) -> None:
    """Locally it is a warning, which a project may take for an error; where counts are large it is a failure."""
    local = run("test_mine.py::test_unknown", "-W", "default::sessionguard.testing.UnknownVerdictWarning")
    local.assert_outcomes(passed=1, warnings=1)
    local.stdout.fnmatch_lines(["*test_mine.py:*UnknownVerdictWarning: a check gave up: *without a verdict*"])
    run("test_mine.py::test_unknown").assert_outcomes(failed=1)
    result = run("test_mine.py::test_unknown", "--sg-profile=deep", "--sg-schedules=5", "-W", "ignore")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a check gave up*"])


MARKED = """
import pytest
from test_mine import correct, scenario

BAD = "sg1:a@INSERT#1;b@end;a@end"

@pytest.mark.schedules(1)
def test_few(interleave):
    interleave(scenario)

@pytest.mark.schedules(seconds=60)
def test_long(interleave):
    assert interleave.interleaver.budget.seconds == 60

@pytest.mark.schedules(1)
def test_nearer(interleave):
    interleave(scenario, schedules=50)

@pytest.mark.schedules(1)
@pytest.mark.replay(BAD)
def test_regression(interleave):
    interleave(scenario)

@pytest.mark.replay(BAD, "sg1:b@end;a@end")
def test_mended(interleave):
    interleave(correct)
    assert len(interleave.done) == 3

@pytest.mark.schedules("many")
def test_no_number(interleave):
    interleave(correct)

@pytest.mark.replay
def test_no_id(interleave):
    interleave(correct)
"""


def test_marks_set_the_budget_and_repeat_what_went_wrong_once(run: Run) -> None:
    """What is nearer to the test wins: its call, its mark, the command line; a mark's schedules come before the search.

    A mark that cannot be read is an error that says how to write it.
    """
    run.pytester.makepyfile(test_marked=MARKED)
    result = run("test_marked.py", "--sg-schedules=100", "-rA")
    assert result.parseoutcomes() == {"passed": 3, "failed": 2, "errors": 2}
    result.stdout.fnmatch_lines_random(
        [
            "PASSED test_marked.py::test_few",
            "PASSED test_marked.py::test_long",
            "PASSED test_marked.py::test_mended",
            "*RACE*schedule 1, by replay*",
            "E *write @pytest.mark.schedules(500)*",
            "E *write @pytest.mark.replay('sg1:...')*",
        ]
    )


@pytest.mark.parametrize(
    "option, told",
    [
        ("--sg-replay=nonsense", "give an id that a report printed"),
        ("--sg-replay=sg1:a@INSERT", "a segment looks like"),
        ("--sg-replay=sg1:seed=x;a@end", "invalid literal"),
        ("--sg-engine=frontrun", "it is declared, io, lines, lines:MODULE"),
        ("--sg-engine=lines:", "it is declared, io, lines, lines:MODULE"),
        ("--sg-engine=trio:x", "it is declared, io, lines, lines:MODULE"),
    ],
)
def test_an_option_that_says_nothing_is_refused_at_once(run: Run, option: str, told: str) -> None:
    """A mistyped id or engine ends the run before any test, with one line."""
    result = run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{told}*"])


UNDECLARED = """
class Counter:
    n = 0

    def add(self):
        read = self.n
        self.n = read + 1
        return read + 1
"""

COUNTING = """
from counters import Counter

def counting(s):
    counter, numbers = Counter(), []
    for name in "ab":
        s.worker(name, lambda: numbers.append(counter.add()))

    def every_number_once(history):
        assert len(set(numbers)) == len(numbers)

    s.check(every_number_once)

def test_counting(interleave):
    interleave(counting)
"""


@pytest.mark.parametrize("engine", ["lines", "lines:counters"])
def test_the_line_engine_is_chosen_on_the_command_line(run: Run, engine: str) -> None:
    """Code without points is raced line by line; the command that repeats it names the engine, too, and works."""
    run.pytester.makepyfile(counters=UNDECLARED, test_counting=COUNTING + (UNDECLARED if engine == "lines" else ""))
    result = run("test_counting.py", f"--sg-engine={engine}", "--sg-seed=5", "--sg-artifacts=left")
    result.assert_outcomes(failed=1)
    found = re.search(r"reproduce: pytest (\S+) --sg-replay='([^']+)' (\S+)", result.stdout.str())
    assert found is not None
    assert found[3] == f"--sg-engine={engine}"
    run(found[1], f"--sg-replay={found[2]}", found[3]).assert_outcomes(failed=1)
    saved = json.loads((run.pytester.path / "left" / "test_counting.test_counting.json").read_text())
    assert saved["options"] == [f"--sg-engine={engine}"]
    missing = run("test_counting.py", "--sg-engine=lines:no_such_module")
    missing.stdout.fnmatch_lines(["*no_such_module*it cannot be imported*"])


FILES = """
import os

def counting(s):
    if os.path.exists("claimed"):
        os.unlink("claimed")
    claims = []

    def claim():
        if not os.path.exists("claimed"):
            open("claimed", "w").close()
            claims.append("mine")

    def claimed_once(history):
        assert len(claims) <= 1

    for name in "ab":
        s.worker(name, claim)
    s.check(claimed_once)

def test_counting(interleave):
    interleave(counting)
"""


def test_the_io_engine_is_chosen_on_the_command_line(run: Run) -> None:
    """Code that only reaches for files is raced there; the command that repeats it works, and the file says io."""
    run.pytester.makepyfile(test_counting=FILES)
    result = run("test_counting.py", "--sg-engine=io", "--sg-artifacts=left")
    result.assert_outcomes(failed=1)
    found = re.search(r"--sg-replay='([^']+)' (\S+)", result.stdout.str())
    assert found is not None
    assert found[2] == "--sg-engine=io"
    run("test_counting.py", f"--sg-replay={found[1]}", found[2]).assert_outcomes(failed=1)
    saved = json.loads((run.pytester.path / "left" / "test_counting.test_counting.json").read_text())
    assert saved["io"] is True


def test_a_replay_that_is_not_followed_warns(run: Run) -> None:
    """Who replays a schedule that the code does not have any more is not left to think that it is mended."""
    gone = "--sg-replay=sg1:a@UPDATE#1;b@end;a@end"
    result = run("test_mine.py::test_race", gone, "-W", "default::sessionguard.testing.NotFollowedWarning")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*NotFollowedWarning: test_mine.py::test_race passed, but sg1:a@UPDATE#1*"])
    run("test_mine.py::test_race", "--sg-replay=sg1:a@end;b@end").assert_outcomes(passed=1)


STALE = """
import pytest
from test_mine import correct, scenario

@pytest.mark.replay("sg1:a@UPDATE#1;b@end;a@end", "sg1:a@end;b@end")
def test_stale(interleave):
    interleave(correct)

@pytest.mark.replay("sg1:a@UPDATE#1;b@end;a@end")
def test_of_two(interleave):
    def other(s):
        s.worker("a", lambda: point("UPDATE", "rows", "w"))
        s.worker("b", lambda: point("UPDATE", "rows", "w"))

    interleave(correct)
    interleave(other)

@pytest.mark.replay("sg1:a@INSERT#1;b@INSERT#1;a@end;b@end")
def test_locked(interleave):
    def mended(s):
        def insert():
            point("take", "lock", "acq")
            point("INSERT", "rows", "w")
            point("give", "lock", "rel")

        s.worker("a", insert)
        s.worker("b", insert)

    interleave(mended)
"""


def test_a_regression_that_is_not_followed_warns_here_and_fails_the_deep_profile(run: Run) -> None:
    """A mark `replay` that names what is not there any more shows nothing, and says so, whatever else passes."""
    run.pytester.makepyfile(test_stale="from sessionguard.core.points import point\n" + STALE)
    result = run("test_stale.py::test_stale", "-W", "default::UserWarning")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*NotFollowedWarning: *sg1:a@UPDATE#1*; take it out of @pytest.mark.replay*"])
    deep = run("test_stale.py::test_stale", "--sg-profile=deep", "--sg-schedules=5")
    deep.assert_outcomes(passed=1, errors=1)
    deep.stdout.fnmatch_lines(["*sg1:a@UPDATE#1*could not be followed to its end*"])


def test_a_regression_is_followed_if_one_scenario_does_or_a_lock_forbids_it(run: Run) -> None:
    """Of two scenarios one may have its points; and a lock that keeps a worker from its place is what mended it."""
    run.pytester.makepyfile(test_stale="from sessionguard.core.points import point\n" + STALE)
    run("test_stale.py", "-k", "of_two or locked").assert_outcomes(passed=2)


def test_every_search_can_leave_a_line(run: Run) -> None:
    """`--sg-outcomes` gets one line of JSON for each search, and a passing test says with -rP what was done."""
    result = run("--sg-outcomes=left/told.jsonl", "-rP", "-W", "ignore")
    lines = [json.loads(line) for line in (run.pytester.path / "left" / "told.jsonl").read_text().splitlines()]
    told = {line["test"].partition("::")[2]: line for line in lines}
    assert set(told) == {"test_race", "test_twin", "test_unknown", "test_no_verdict_is_no_proof", "test_no_proof"}
    assert [told["test_race"]["ok"], told["test_race"]["judge"]] == [False, "one_row"]
    assert told["test_race"]["replay_id"] in told["test_race"]["report"]
    assert told["test_twin"]["exhausted"]
    result.stdout.fnmatch_lines(["*Captured interleave call*", "all schedules at the declared points (*"])
