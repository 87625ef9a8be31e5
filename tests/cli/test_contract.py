"""`sessionguard contract`: a store is judged by the name of what makes it; what cannot be tried is told in one line."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sessionguard.cli import contract, pytesting
from sessionguard.cli.__main__ import main
from sessionguard.testing import Capabilities, StoreContract
from sessionguard.testing.contracts.catalogue import CASES

PLANTED_ORDERS = Path(__file__).parents[1] / "contract" / "planted_orders.py"

STORES = """
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.offload import OffloadedStore
from sessionguard.testing.mutants.endings import TheLastReasonWins
from sessionguard.testing.mutants.shelf import ShelfStore

def on_a_shelf(folder):
    return ShelfStore(folder / "db")

def offloaded():
    return OffloadedStore(MemoryStore())

def of_two(folder, name):
    return None

def broken(folder):
    raise OSError("no disk")

def apart(folder):
    return MemoryStore()

class Plain:
    def __getattr__(self, name):
        if name in ("page", "census", "find_due", "take_turn", "give_turn") or name.endswith("_lock"):
            raise AttributeError(name)
        return lambda *arguments: None

def of_no_abilities(folder):
    return Plain()

class Young:
    name = "young"

    def create(self, command):
        return None

def young(folder):
    return Young()

class WrongCount(MemoryStore):
    def get(self, command):
        found = super().get(command)
        return found and __import__("attrs").evolve(found, version=found.version + 1)

class Shop:
    carts = on_a_shelf

number = 5
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of somebody else, whose settings for pytest are of no use to the command."""
    (tmp_path / "shop.py").write_text(STORES, encoding="utf-8")
    (tmp_path / "ill.py").write_text("import no_such_package", encoding="utf-8")
    (tmp_path / "bad.py").write_text("1 / 0", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\nfilterwarnings = error\n", "utf-8")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not to be loaded')", encoding="utf-8")
    return tmp_path


@pytest.fixture
def contract_of(project: Path) -> Run:
    """The command in that project."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-W", "error", "-m", "sessionguard.cli.__main__", "contract", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=100, check=False)

    return run


def status_of(arguments: list[str]) -> object:
    """Run a command in this process and give its exit status."""
    try:
        return main(arguments)
    except SystemExit as exit:
        return exit.code


def test_a_right_store_passes(contract_of: Run) -> None:
    """A factory of a folder is put to the cases that were chosen, in processes too, and the status is 0."""
    done = contract_of("shop:on_a_shelf", "-k", "one_end_is_the_first or sessions_outlive")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"  closing +2 passed\n  meetings +3 passed\n\n", done.stdout)
    assert re.search(r"\n5 passed in [\d.]+ s\n$", done.stdout)
    assert done.stderr == ""


def test_a_wrong_store_is_told_what_it_does_not_show(contract_of: Run) -> None:
    """Each failure has its behaviour, the values compared and the line of the kit; the status is 1."""
    done = contract_of("shop:TheLastReasonWins", "--per-process", "-k", "first_reason")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED  the_first_reason_stays [blocking]\n  Ending an ended session is refused" in done.stdout
    assert re.search(r"At index 0 diff: <Outcome.DONE", done.stdout)
    assert re.search(r"\(ending\.py:\d+\)", done.stdout)
    assert "def the_first_reason_stays(s: Stage)" in contract_of(*hinted(done.stdout, "start with the first")).stdout


def hinted(report: str, told: str) -> list[str]:
    """Give the arguments of the first command that stands after this in a report."""
    line = re.search(f"{told}: (.*)", report)
    assert line is not None, report
    program, command, *arguments = shlex.split(line[1])
    assert (program, command) == ("sessionguard", "contract")
    return arguments


def test_a_hint_keeps_what_was_said_about_the_store(contract_of: Run) -> None:
    """The command for the first failure judges the same store in the same way, and only that case in that mode."""
    said = ["--without", "durable,locks", "--per-process", "--yields", "ops", "--profile", "deep", "--seed", "3"]
    done = contract_of("shop:TheLastReasonWins", *said, "-k", "first_reason")
    chosen = ["-k", "test_the_first_reason_stays[blocking]", "--traceback"]
    assert hinted(done.stdout, "start with the first") == ["shop:TheLastReasonWins", *said, *chosen]


def test_a_race_is_repeated_by_the_line_that_it_prints(contract_of: Run, project: Path) -> None:
    """What stands behind `reproduce:` can be typed as it is, and plays the one schedule of that case and mode."""
    (project / "planted.py").write_text(PLANTED_ORDERS.read_text("utf-8"), encoding="utf-8")
    done = contract_of("planted:LosesUpdates", "--per-process", "-k", "test_saves_meet_saves")
    again = contract_of(*hinted(done.stdout, "reproduce"), "--json")
    (case,) = json.loads(again.stdout)["cases"]
    assert (case["case"], case["mode"], case["status"]) == ("saves_meet_saves", "interleaved", "fail")
    assert "schedule 1, by replay" in case["reason"]


def test_sessions_that_differ_are_told_by_what_differs(contract_of: Run) -> None:
    """A reply that is not the one expected is shown in short, with each field that differs in full."""
    done = contract_of(
        "shop:WrongCount", "--per-process", "-k", "test_get_or_create_finds_the_active_session[blocking]"
    )
    assert re.search(r"assert SessionRecord\((\w{6}) v2 g1 \{.*\}\) == SessionRecord\(\1 v1 g1 ", done.stdout), (
        done.stdout
    )
    assert "     version: 2 != 1\n" in done.stdout


def test_machines_are_told_as_json_and_junit(contract_of: Run, tmp_path: Path) -> None:
    """JSON holds each verdict with its behaviour, JUnit each case, and nothing else is printed."""
    done = contract_of("shop:TheLastReasonWins", "--per-process", "-k", "first_reason", "--json", "--junit", "j.xml")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["ok"], told["summary"]) == (False, "2 failed")
    assert {case["status"] for case in told["cases"]} == {"fail"}
    assert all(case["behaviour"] and case["reason"] and case["seconds"] > 0 for case in told["cases"])
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]
    assert (suite.get("name"), suite.get("failures"), suite.get("tests")) == ("contract", "2", "2")


def test_what_was_looked_at_between_calls_only_is_told(contract_of: Run) -> None:
    """Text and JSON say of which cases that passed a race within a call would not be seen, and what to do."""
    chosen = ("shop:MemoryStore", "--per-process", "--yields", "ops", "-k", "three_open_one_slot and not async")
    told = contract_of(*chosen).stdout
    assert "1 passed (1 between calls only)" in told
    assert (
        'passed, but looked between calls only, so a race within a call stays unseen: that is what yields="ops"' in told
    )
    plain = json.loads(contract_of(*chosen, "--json").stdout)
    assert "call sessionguard.core.points.point before each access" in plain["cases"][0]["remark"]


def test_an_async_store_is_recognised(contract_of: Run) -> None:
    """A factory of an async store is played in the async modes."""
    done = contract_of("shop:offloaded", "--per-process", "-k", "the_first_reason_stays", "--json")
    assert done.returncode == 0, done.stderr
    assert {case["mode"]: case["status"] for case in json.loads(done.stdout)["cases"]} == {
        "blocking": "skip",
        "async": "ok",
    }


def test_what_is_lacking_is_declared(contract_of: Run) -> None:
    """What a store is declared to lack is skipped, with that reason; what it has cannot be declared away."""
    chosen = ("-k", "only_the_holder_releases or capabilities_are_true")
    done = contract_of("shop:Shop.carts", "--without", "locks,processes", *chosen)
    assert done.returncode == 1
    assert "skipped 2: the store declares Capabilities(locks=False)" in done.stdout
    assert "ShelfStore is a LockingStore; take locks=False out of its Capabilities" in done.stdout


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["shop"], "factory = 'shop': give it as module:function"),
        (["shop:nothing"], "shop has no 'nothing'; it has MemoryStore, OffloadedStore"),
        (["nothing:store"], "there is no module 'nothing' in this folder"),
        (["ill:store"], "importing it failed: No module named 'no_such_package'"),
        (["bad:store"], "importing it failed: ZeroDivisionError"),
        (["shop:number"], "something of type int, which cannot be called"),
        (["shop:of_two"], "it wants the arguments folder, name"),
        (["shop:broken"], "calling it raised OSError: no disk"),
        (["shop:MemoryStore"], "--per-process"),
        (["shop:apart"], "does not find; keep sessions in that place, or say that each store has its own: "),
        (["shop:of_no_abilities"], "say that it is missing: Capabilities(listing=False, locks=False, fleet=False), on"),
        (["shop:young"], "lacks identify, get_or_create, replace, load, get, save, touch, rotate, end, end_owner, "),
        (["shop:MemoryStore", "--without", "speed"], "'speed' is no ability; there are asynchronous, shared"),
    ],
)
def test_what_makes_no_store_is_told_in_one_line(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    """Status 2, nothing on standard output, and one line that says what to do."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("shop", "ill", "bad"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert status_of(["contract", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["-k", "no_such_case"], "no case matches -k 'no_such_case'"),
        (["-k", "sessions_outlive"], "every case that was chosen is skipped: the store declares"),
        (["-k", "("], "pytest could not go on: Wrong expression passed to '-k'"),
        (["--replay", "x"], "give an id that a report printed"),
    ],
)
def test_a_run_that_shows_nothing_is_no_success(contract_of: Run, arguments: list[str], told: str) -> None:
    """Where no case was played the status is 2, and one line says why."""
    done = contract_of("shop:MemoryStore", "--per-process", *arguments)
    assert done.returncode == 2
    assert "passed" not in done.stdout
    assert told in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_an_absent_package_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without pytest or Hypothesis both commands say what to install, with status 2."""
    monkeypatch.setattr(pytesting, "find_spec", lambda name: None)
    for command in (["contract", "shop:store"], ["replay", "race.json"]):
        assert main(command) == 2
        assert "pip install 'pytest' (or the extra [testing]" in capsys.readouterr().err


def test_what_is_collected_is_the_kit(contract_of: Run) -> None:
    """Nothing of the kit is left out: as many cases in as many modes as a subclass has, and its own checks."""
    done = contract_of("shop:MemoryStore", "--per-process", "-k", "kit_is_whole")
    assert done.returncode == 0
    names: dict[str, Any] = {"__name__": "test_store"}
    source = contract.TEST_FILE.format(
        capabilities=Capabilities(locks=False), yields=None, kind="", factory="shop:MemoryStore"
    )
    exec(source, names)
    assert issubclass(names["TestStore"], StoreContract)
    assert names["TestStore"].capabilities == Capabilities(locks=False)
    assert all(hasattr(names["TestStore"], f"test_{case}") for case in CASES)
