"""`sessionguard replay`: a saved race is run again, and what came of it is said with an exit status of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionguard.cli.__main__ import main

RACES = """
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
"""

TESTS = """
import pytest
from races import two_carts

@pytest.mark.parametrize("shop", ["north", "north!"])
def test_race(interleave, shop):
    interleave(two_carts)

def test_plain():
    pass

def test_skipped(interleave):
    pytest.skip("no server")
"""

MENDED = RACES.replace('point("INSERT", "rows", "w")', "pass").replace('"SELECT", "rows", "r"', '"SELECT", "rows", "w"')
GOES_WELL = RACES.replace("len(rows) <= 1", "len(rows) <= 2")
OTHERWISE = RACES.replace("def one_row", "def no_doubles").replace("s.check(one_row)", "s.check(no_doubles)")

Replay = Callable[..., "subprocess.CompletedProcess[str]"]


def run_in(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a module of this Python in a folder."""
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture(scope="module")
def saved_races(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What two failing tests of a project left."""
    project = tmp_path_factory.mktemp("saved")
    lay_out(project)
    run_in(project, "pytest", "-q", "--sg-artifacts=left")
    return {path.name: path.read_text("utf-8") for path in (project / "left").glob("*.json")}


def lay_out(project: Path, races: str = RACES) -> None:
    """Write a strict project with one scenario and its tests."""
    (project / "races.py").write_text(races, encoding="utf-8")
    (project / "tests").mkdir(exist_ok=True)
    (project / "tests" / "test_shop.py").write_text(TESTS, encoding="utf-8")
    settings = "addopts = -ra --strict-markers --strict-config\nfilterwarnings = error\npythonpath = .\n"
    (project / "pytest.ini").write_text(f"[pytest]\n{settings}", encoding="utf-8")


@pytest.fixture
def saved(saved_races: dict[str, str]) -> dict[str, Any]:
    """One of them, as values."""
    every: list[dict[str, Any]] = [json.loads(text) for text in saved_races.values()]
    return next(each for each in every if each["test"].endswith("[north]"))


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    """The command in that project, on a file that holds this."""

    def run(saved: object, *arguments: str, races: str = RACES) -> "subprocess.CompletedProcess[str]":
        lay_out(tmp_path, races)
        (tmp_path / "race.json").write_text(json.dumps(saved), encoding="utf-8")
        return run_in(tmp_path, "sessionguard.cli.__main__", "replay", "race.json", *arguments)

    return run


def test_each_test_leaves_files_of_its_own(saved_races: dict[str, str]) -> None:
    """Tests whose names differ only by what no file name can hold do not overwrite each other's reports."""
    tests = {json.loads(text)["test"] for text in saved_races.values()}
    assert tests == {"tests/test_shop.py::test_race[north]", "tests/test_shop.py::test_race[north!]"}
    assert all(name.startswith("tests.test_shop.test_race_") for name in saved_races)


def test_a_race_that_is_still_there_is_shown(replay: Replay, saved: dict[str, Any], tmp_path: Path) -> None:
    """The report is that of the test, the page is written if it is wanted, and the status is 1."""
    done = replay(saved, "--html", "race.html")
    assert done.returncode == 1, done.stderr
    assert "RACE  two rows" in done.stdout
    assert "reproduce: pytest 'tests/test_shop.py::test_race[north]' --sg-replay='sg1:" in done.stdout
    assert done.stdout.endswith("it still fails: tests/test_shop.py::test_race[north]\n")
    page = (tmp_path / "race.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "Without one of its interruptions it goes well" in page


def test_a_race_that_is_gone_is_told_so(replay: Replay, saved: dict[str, Any]) -> None:
    """A schedule that goes well now has status 0, and the sentence does not say more than was seen."""
    done = replay(saved, races=GOES_WELL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("it no longer fails: tests/test_shop.py::test_race[north] goes well in this schedule")


def test_a_schedule_that_cannot_be_followed_shows_nothing(replay: Replay, saved: dict[str, Any]) -> None:
    """When a point that it names is gone, that is neither a success nor a failure: status 2."""
    done = replay(saved, "--json", races=MENDED)
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["verdict"] == "not followed"


def test_another_failure_is_told_from_the_saved_one(replay: Replay, saved: dict[str, Any]) -> None:
    """If another check objects now, the report says that it is not the same failure."""
    done = replay(saved, races=OTHERWISE)
    assert done.returncode == 1, done.stderr
    assert "it fails, but not as it did when race.json was written" in done.stdout


def test_a_scenario_needs_no_test(replay: Replay, saved: dict[str, Any], tmp_path: Path) -> None:
    """What `Failure.as_json` gives is replayed with the function that is named, or that the file names."""
    named = replay(saved["failure"], "--scenario", "races:two_carts")
    assert named.returncode == 1, named.stderr
    assert named.stdout.endswith("it still fails: races:two_carts\n")
    known = replay(saved | {"test": None}, "--html", "race.html")
    assert (known.returncode, "races:two_carts" in known.stdout) == (1, True)
    assert "Without one of its interruptions it goes well" in (tmp_path / "race.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--test", "tests/test_shop.py::test_gone"], "there is no test tests/test_shop.py::test_gone any more"),
        (["--test", "tests/test_shop.py::test_plain"], "raced nothing; does it still ask for the fixture `interleave`"),
        (["--test", "tests/test_shop.py::test_skipped"], "raced nothing: Skipped: no server"),
    ],
)
def test_a_test_that_races_nothing_is_told(
    replay: Replay, saved: dict[str, Any], arguments: list[str], told: str
) -> None:
    """A test that is gone, or does not come to its race, is status 2 and one line."""
    done = replay(saved, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_test_that_cannot_be_collected_is_shown(replay: Replay, saved: dict[str, Any]) -> None:
    """What pytest says about a module that does not import is shown."""
    done = replay(saved, races="1 / 0")
    assert done.returncode == 2
    assert "pytest could not collect it" in done.stderr
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    "change, told",
    [
        ({"format": 2, "sessionguard": "9.1"}, "it has format 2, of sessionguard 9.1; this is"),
        ({"format": "x"}, "it has format 'x'"),
        ({"failure": None, "summary": "nothing found"}, "nothing went wrong in it: nothing found"),
        ({"failure": {"replay_id": "sg1:a@end"}}, "it is damaged: KeyError 'reason'"),
        ({"failure": 5}, "it is damaged: TypeError"),
        ({"test": 5}, "it is damaged: TypeError"),
        ({"test": None, "scenario": None}, "race.json does not say where its scenario is; give --test or --scenario"),
        ({"test": "elsewhere/test_x.py::test_y"}, "there is no elsewhere/test_x.py in this folder"),
        ({"test": None, "scenario": "nowhere:race"}, "there is no module 'nowhere'"),
        ({"test": None, "scenario": "json:__name__"}, "json:__name__ is no function"),
    ],
)
def test_a_file_that_does_not_do_is_told_in_one_line(
    saved: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    told: str,
) -> None:
    """Files of another format, damaged ones, and those whose scenario is nowhere: status 2, one line, no traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("race.json").write_text(json.dumps(saved | change), encoding="utf-8")
    assert main(["replay", "race.json"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert told in printed.err


@pytest.mark.parametrize(
    "content, told",
    [
        (None, "it cannot be read: No such file"),
        (b"{", "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[]", "it is JSON, but no report of a race"),
        (b'{"a": 1}', "it is JSON, but no report of a race"),
    ],
)
def test_what_is_no_saved_race_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, told: str
) -> None:
    """A missing file, another kind of file, and JSON of something else are each told as what they are."""
    path = tmp_path / "race.json"
    if content is not None:
        path.write_bytes(content)
    assert main(["replay", str(path)]) == 2
    assert told in capsys.readouterr().err
