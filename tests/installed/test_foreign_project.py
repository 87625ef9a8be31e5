"""A strict project of somebody else's, which has installed the wheel with `[testing]` and nothing else."""

import re
from pathlib import Path

import pytest

from tests.installed.conftest import Installed

pytestmark = pytest.mark.processes

STORE = """
from functools import partial

import pytest

from sessionguard.stores.sqlite import SQLiteStore as MyStore
from sessionguard.testing import StoreContract

class TestMyStore(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path):
        return partial(MyStore, tmp_path / "sessions.db")
"""

RACE = """
from sessionguard.core.points import point

def test_two_carts(interleave):
    def scenario(s):
        rows = {}

        def open_cart(me):
            with s.history.record(me, "open", owner="alice") as op:
                point("SELECT", "alice", "r")
                if "alice" not in rows:
                    point("INSERT", "alice", "w")
                    rows["alice"] = me
                op.ok(rows["alice"])

        def one_cart(history):
            assert len({operation.result for operation in history.operations}) <= 1, "two carts for alice"

        for name in "abcd":
            s.worker(name, lambda name=name: open_cart(name))
        s.check(one_cart)

    interleave(scenario)
"""

OF_THE_EXTRA = {"attrs", "filelock", "portalocker", "typing_extensions", "pytest", "hypothesis"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project, in which a warning is an error and every mark and option must be known."""
    settings = "addopts = --strict-markers --strict-config\nfilterwarnings = error\nxfail_strict = true\n"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{settings}", encoding="utf-8")
    (tmp_path / "test_store.py").write_text(STORE, encoding="utf-8")
    (tmp_path / "test_race.py").write_text(RACE, encoding="utf-8")
    return tmp_path


def test_the_plugin_is_found_by_its_entry_point(installed: Installed, project: Path) -> None:
    """The plugin is listed with its fixtures and marks, and the wheel is what is imported."""
    shown = installed.run("python -m pytest --fixtures -q; python -m pytest --markers", project).stdout
    for name in ("interleave", "history", "virtual_clock", "store_contract", "cancel_sweep", "kill_sweep"):
        assert re.search(rf"^{name} -- ", shown, re.MULTILINE), name
    assert "@pytest.mark.schedules(number, seconds=None)" in shown
    place = installed.run("python -c 'import sessionguard; print(sessionguard.__file__)'", project).stdout
    assert Path(place).is_relative_to(installed.folder)


def test_nothing_but_the_extra_is_there(installed: Installed, project: Path) -> None:
    """No driver and no framework is installed, so what passes here needs none."""
    code = "import importlib.util as u; print(*[n for n in %r if u.find_spec(n)])"
    drivers = ["redis", "psycopg", "flask", "trio", "uvloop", "xdist", "psutil"]
    assert installed.run(f'python -c "{code % drivers}"', project).stdout.split() == []
    assert set(installed.run(f'python -c "{code % sorted(OF_THE_EXTRA | {"attr"})}"', project).stdout.split()) == {
        *OF_THE_EXTRA,
        "attr",
    }


def test_the_contract_runs_in_five_lines(installed: Installed, project: Path) -> None:
    """Blocking, async, threads, tasks and processes: every way of the kit works from the wheel."""
    chosen = "first_reason or one_end_is_the_first or kit_is_whole or capabilities_are_true"
    done = installed.run(f"python -m pytest -q test_store.py -k '{chosen}'", project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* passed, \d+ deselected in ", done.stdout, re.MULTILINE)


def test_a_planted_race_is_reported_and_its_id_repeats_it(installed: Installed, project: Path) -> None:
    """The report is small, and the command that it prints fails in the same way when it is copied into a shell."""
    done = installed.run("python -m pytest -q test_race.py", project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "RACE  two carts for alice" in done.stdout
    assert "4->2 workers; 1 preemption; replayed 2/2" in done.stdout
    found = re.search(r"reproduce: (pytest .*)", done.stdout)
    assert found is not None
    again = installed.run(found[1], project)
    assert again.returncode == 1
    assert "two carts for alice   (schedule 1, by replay" in again.stdout
