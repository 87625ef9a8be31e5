"""The plugin in projects of others: its fixtures work in tests of every kind, and who does not use it never notices."""

import asyncio  # noqa: F401 - before runs in this process, which forget their imports: C code knows the first one only
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sessionguard.testing import plugin

STRICT = "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\nxfail_strict = true\n"

ALONE = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest", "-p", "no:randomly")

RACE = """
import unittest
import pytest
from sessionguard.core.points import point

def two_carts(s):
    rows = []

    def insert(me):
        point("SELECT", "rows", "r")
        if not rows:
            point("INSERT", "rows", "w")
            rows.append(me)

    def one_row(history):
        assert len(rows) <= 1, "two rows"

    for name in "ab":
        s.worker(name, lambda name=name: insert(name))
    s.check(one_row)

class TestInAClass:
    def test_race(self, interleave):
        interleave(two_carts)

class OldStyle(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _ask(self, interleave):
        self.interleave = interleave

    def test_race(self):
        self.interleave(two_carts)

@pytest.mark.parametrize("shop", ["a", "b"])
@pytest.mark.schedules(100)
def test_param(interleave, shop):
    interleave(two_carts)
"""


@pytest.fixture
def foreign(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> pytest.Pytester:
    """A strict project of somebody else's, where the plugin is loaded by its entry point."""
    if request.config.pluginmanager.get_plugin("sessionguard") is not plugin:
        pytest.skip("the entry point is there only where sessionguard is installed, from this folder")
    pytester.makeini(STRICT)
    return pytester


def test_races_in_tests_of_every_kind(foreign: pytest.Pytester) -> None:
    """Functions, classes, parameters and unittest cases fail with the report, and its command works in each."""
    foreign.makepyfile(test_mine=RACE)
    result = foreign.runpytest_inprocess(*ALONE)
    result.assert_outcomes(failed=4)
    # Where CI is set, pytest tells each failure a second time and in full.
    commands = list(
        dict.fromkeys(re.findall(r"reproduce: pytest ('[^']+'|\S+) --sg-replay='([^']+)'", result.stdout.str()))
    )
    assert [test.strip("'").partition("::")[2] for test, _ in commands] == [
        "TestInAClass::test_race",
        "OldStyle::test_race",
        "test_param[a]",
        "test_param[b]",
    ]
    for test, replay in commands[1:3]:
        again = foreign.runpytest_inprocess(*ALONE, test.strip("'"), f"--sg-replay={replay}")
        again.assert_outcomes(failed=1)


@pytest.mark.processes
def test_races_in_several_processes(foreign: pytest.Pytester) -> None:
    """With pytest-xdist every option reaches the processes that test, and each leaves its reports and its lines."""
    pytest.importorskip("xdist")
    foreign.makepyfile(test_mine=RACE)
    options = ("--sg-artifacts=left", "--sg-outcomes=told.jsonl", "--sg-engine=declared", "--sg-seed=3")
    result = foreign.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider", *options)
    result.assert_outcomes(failed=4)
    assert len(list((foreign.path / "left").glob("*.json"))) == 4
    assert len((foreign.path / "told.jsonl").read_text().splitlines()) == 4
    assert "seed=3" in result.stdout.str()


FIXTURES = """
from sessionguard.testing import SessionModel, UnknownVerdictWarning, History
from sessionguard.testing.history import Model

class Register(Model):
    def initial(self):
        return None

    def step(self, state, operation):
        owner = state or operation.client
        return [owner] if operation.result == owner else []

def record(history, *answers):
    for client, answer in zip("ab", answers):
        with history.record(client, "open") as op:
            op.ok(answer)

def test_legal(history):
    record(history, "a", "a")
    assert history.require_legal(Register).is_legal

def test_illegal(history):
    record(history, "a", "b")
    history.require_legal(Register)

def test_clock(virtual_clock):
    before = virtual_clock()
    virtual_clock.advance(5)
    assert (virtual_clock() - before).total_seconds() == 5

def test_given_up(history):
    from sessionguard.testing import CheckBudget
    record(history, "a", "a")
    history.require_legal(Register, CheckBudget(steps=0))
"""


def test_a_history_judges_its_test(foreign: pytest.Pytester) -> None:
    """What no order explains fails the test and is left as a file; what was given up warns, and fails at `deep`."""
    foreign.makepyfile(test_mine=FIXTURES)
    result = foreign.runpytest_inprocess(*ALONE, "--sg-artifacts=left")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*HistoryError*", "*UnknownVerdictWarning*"])
    left = foreign.path / "left" / "test_mine.test_illegal.history.jsonl"
    assert len(left.read_text().splitlines()) == 2
    given_up = ("-k", "given_up", "-W", "ignore")
    foreign.runpytest_inprocess(*ALONE, *given_up).assert_outcomes(passed=1, deselected=3)
    deep = foreign.runpytest_inprocess(*ALONE, *given_up, "--sg-profile=deep")
    deep.assert_outcomes(failed=1, deselected=3)


SWEEPS = """
import asyncio
import pytest
from sessionguard.core.points import point
from sessionguard.testing.sweeps import Other

class Client:
    waiting = 0

    async def get(self, key):
        self.waiting += 1
        await asyncio.sleep(0)
        self.waiting -= 1
        return key

def sweep(cancel_sweep):
    client = Client()
    others = [Other(key, lambda key=key: client.get(key), key) for key in ("bea", "cy")]
    return asyncio.run(cancel_sweep(lambda: client.get("ana"), others, in_use=lambda: client.waiting))

def test_sweep(cancel_sweep):
    sweep(cancel_sweep)

def test_settings(cancel_sweep, interrupt_sweep, kill_sweep, jump_sweep, fork_sweep, request):
    followed = request.config.getoption("--sg-replay")
    asked = {each.func.__name__: each.keywords for each in (interrupt_sweep, kill_sweep, jump_sweep, fork_sweep)}
    asked["cancel_sweep"] = cancel_sweep.settings
    assert [name for name, said in asked.items() if said["only"] is not None] == FOLLOWED.get(followed, [])
    assert {said["only"] for said in asked.values()} <= {None, followed}
    for said in asked.values():
        assert said["strict"] is (request.config.getoption("--sg-profile") == "deep")

def race(s):
    s.worker("a", lambda: point("INSERT", "rows", "w"))
    s.worker("b", lambda: point("INSERT", "rows", "w"))

def test_race(interleave):
    assert interleave(race).schedules > 1

FOLLOWED = {
    "once@3": ["cancel_sweep"],
    "raise@send#2+1": ["interrupt_sweep"],
    "pause@rename#1": ["kill_sweep"],
    "jump-3600@INSERT#2": ["jump_sweep"],
    "fork@draw#1": ["fork_sweep"],
}
"""


def test_sweeps_take_what_the_command_line_says(foreign: pytest.Pytester) -> None:
    """A fault that is left behind fails the test with an id, which `--sg-replay` takes; `deep` is strict."""
    foreign.makepyfile(test_mine=SWEEPS)
    result = foreign.runpytest_inprocess(*ALONE, "-k", "test_sweep")
    result.assert_outcomes(failed=1, deselected=2)
    found = re.search(r"reproduce: pytest (.+)", result.stdout.str())
    assert found is not None, result.stdout.str()
    again = foreign.runpytest_inprocess(*ALONE, *shlex.split(found[1]))
    again.assert_outcomes(failed=1)
    assert "cancelling.py" not in result.stdout.str()
    assert "runners.py" not in result.stdout.str()
    deep = foreign.runpytest_inprocess(*ALONE, "-k", "settings", "--sg-profile=deep")
    deep.assert_outcomes(passed=1, deselected=2)


@pytest.mark.parametrize("replay_id, notes", [
    ("sg1:a@end;b@end", 5), ("once@3", 5), ("raise@send#2+1", 5), ("pause@rename#1", 5), ("jump-3600@INSERT#2", 5),
    ("fork@draw#1", 5),
])  # fmt: skip
def test_an_id_is_followed_by_whom_it_is_meant_for(foreign: pytest.Pytester, replay_id: str, notes: int) -> None:
    """Every other fixture plays in full, and the end of the run says which did."""
    foreign.makepyfile(test_mine=SWEEPS)
    which = "settings" if replay_id.startswith("sg1:") else "settings or race"
    result = foreign.runpytest_inprocess(*ALONE, "-k", which, f"--sg-replay={replay_id}")
    result.assert_outcomes(passed=1 if which == "settings" else 2, deselected=2 if which == "settings" else 1)
    assert result.stdout.str().count(f"not followed: {replay_id} is for ") == notes


@pytest.mark.parametrize("text", ["kill@rename", "raise@", "once@0", "jump+@read#1", "fork@#"])
def test_an_id_that_is_none_is_refused_at_once(foreign: pytest.Pytester, text: str) -> None:
    """Of sweeps, too, before any test is run."""
    result = foreign.runpytest_inprocess(*ALONE, f"--sg-replay={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*give *id that a report printed*"])


FORGOTTEN = """
import asyncio
from sessionguard.testing.sweeps import Other

others = [Other(key, lambda key=key: key, key) for key in ("bea", "cy")]

def test_forgotten(cancel_sweep):
    cancel_sweep(lambda: asyncio.sleep(0), others)

def test_given_up(cancel_sweep):
    async def give_up():
        asked = asyncio.create_task(cancel_sweep(lambda: asyncio.sleep(0), others))
        await asyncio.sleep(0)
        asked.cancel()

    asyncio.run(give_up())

def test_awaited(cancel_sweep):
    assert asyncio.run(cancel_sweep(lambda: asyncio.sleep(0), others)).total == 5
    try:
        asyncio.run(cancel_sweep(lambda: asyncio.sleep(0), []))
    except Exception as error:
        assert "at least two others" in str(error)
"""


def test_a_sweep_that_is_not_awaited_fails_its_test(foreign: pytest.Pytester) -> None:
    """What was never played, or not to its end, has shown nothing; the message says what to write."""
    foreign.makepyfile(test_mine=FORGOTTEN)
    result = foreign.runpytest_inprocess(*ALONE)
    result.assert_outcomes(passed=3, errors=2)
    told = "*1 of 1 calls of cancel_sweep did not come to the end*write `await cancel_sweep(...)`*"
    result.stdout.fnmatch_lines([told, told])


KILLS = """
import os
from functools import partial

def write(run, text):
    (run.folder / "prices").write_text(text)

def read(run):
    assert (run.folder / "prices").read_text() in ("old", "new"), "half a file"

def test_kills(kill_sweep):
    kill_sweep(partial(write, text="new"), read, prepare=partial(write, text="old"), stops="io", faults=["kill"])
"""


@pytest.mark.processes
def test_a_kill_is_repeated_by_the_command_that_is_printed(foreign: pytest.Pytester) -> None:
    """The line can be pasted as it is, and no frame of this library stands between the test and what it says."""
    foreign.makepyfile(test_mine=KILLS)
    result = foreign.runpytest_inprocess(*ALONE)
    result.assert_outcomes(failed=1)
    found = re.search(r"reproduce: pytest (.+)", result.stdout.str())
    assert found is not None, result.stdout.str()
    assert found[1] == "test_mine.py::test_kills --sg-replay='kill@write#1'"
    again = foreign.runpytest_inprocess(*ALONE, *shlex.split(found[1]))
    again.assert_outcomes(failed=1)
    assert "def test_kills" in result.stdout.str()
    assert 'assert (run.folder / "prices").read_text() in' in result.stdout.str()
    assert "sweeps/" not in result.stdout.str().replace("sessionguard.testing.sweeps", "")


PLAIN = """
import sys

def test_plain():
    loaded = sorted(name for name in sys.modules if name.startswith("sessionguard."))
    assert loaded == ["sessionguard.testing", "sessionguard.testing.plugin"]
"""

USES_THE_SAME_NAMES = """
import pytest

@pytest.fixture
def history():
    return "mine"

@pytest.fixture
def virtual_clock():
    return 5

@pytest.mark.replay(speed=2)
@pytest.mark.schedules("monday", "tuesday")
def test_mine(history, virtual_clock):
    assert (history, virtual_clock) == ("mine", 5)
"""


@pytest.mark.processes
def test_who_does_not_use_it_never_notices(tmp_path: Path) -> None:
    """A strict project without us loads the plugin and nothing else of ours, gets no warning, and keeps its own names.

    Fixtures and marks of the same name mean there what that project says.
    """
    (tmp_path / "pytest.ini").write_text(STRICT, encoding="utf-8")
    (tmp_path / "test_plain.py").write_text(PLAIN, encoding="utf-8")
    (tmp_path / "test_names.py").write_text(USES_THE_SAME_NAMES, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout
    assert re.search(r"^2 passed in ", done.stdout, re.MULTILINE)


COST = """
import sys
from time import perf_counter
import pytest, attr, typing_extensions
begin = perf_counter()
import {module}
print(perf_counter() - begin, end="")
"""


@pytest.mark.timing
def test_loading_the_plugin_costs_next_to_nothing() -> None:
    """It takes a small part of the time that pytest itself takes to load, best of several fresh interpreters."""

    def seconds(program: str) -> float:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
        return float(done.stdout)

    ours = min(seconds(COST.format(module="sessionguard.testing.plugin")) for _ in range(5))
    pytests = min(seconds(COST.replace("import pytest, ", "import ").format(module="pytest")) for _ in range(5))
    assert ours < pytests / 2, f"our plugin {ours * 1000:.0f} ms, pytest {pytests * 1000:.0f} ms"
