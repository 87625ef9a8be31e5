"""Without a word a store is stopped at its points, else at the lines of its modules; what cannot be, is told so."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import CI, PER_PROCESS, Verdict, verdicts
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.catalogue import CASES
from sessionguard.testing.contracts.encounters import EncounterCase
from sessionguard.testing.contracts.locating import modules_of, objects_of
from sessionguard.testing.contracts.reporting import render, summary
from sessionguard.testing.contracts.yielding import declares_points
from sessionguard.testing.model import ModelStore
from sessionguard.testing.mutants.shelf import ShelfStore
from sessionguard.testing.servers import RedisServer
from tests.contract import planted_orders as planted
from tests.contract import undeclared

ENCOUNTERS = {name: case for name, case in CASES.items() if isinstance(case, EncounterCase)}
ONE = "three_open_one_slot"
BETWEEN = "looked between calls only"


def judged(make_store: Callable[[], Any], mode: str = "interleaved", **more: Any) -> Verdict:
    """Give what one encounter says of a store of one object."""
    (verdict,) = verdicts(lambda: make_store, capabilities=PER_PROCESS, cases=[ONE], modes=[mode], **more)
    return verdict


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.deep if n % 4 else ()) for n, name in enumerate(ENCOUNTERS)]
)
def test_a_store_without_any_lock_is_found_out(name: str) -> None:
    """It declares no points, and nobody named its modules: its lines are watched, and the id repeats it."""
    candidate = Candidate(undeclared.Unlocked, PER_PROCESS)
    # It ends with the first one found: the time limit of a push would judge the machine.
    outcome = ENCOUNTERS[name].search("interleaved", candidate, evolve(CI, encounter_seconds=20.0))
    assert outcome.failure is not None, outcome.describe()
    assert outcome.failure.replayed == (2, 2)


def test_a_right_store_passes_at_its_lines_in_little_time() -> None:
    """Its locks are seen, also those of what it is made of, and a search ends long before it has seen everything."""
    began = time.monotonic()
    for make in (ModelStore, lambda: undeclared.Facade(ModelStore())):
        verdict = judged(make)
        assert (verdict.status, verdict.remark) == ("ok", ""), verdict.reason
    # Without its limit each of them goes on for ten seconds.
    assert time.monotonic() - began < 10.0
    assert judged(lambda: undeclared.Facade(undeclared.Unlocked())).status == "fail"


def test_lines_need_not_be_the_same_each_time(tmp_path: Path) -> None:
    """What fills a cache, or finds what others left in its file, is searched at its lines all the same."""
    verdict = judged(undeclared.Forgetful)
    assert (verdict.status, verdict.remark) == ("ok", ""), verdict.reason
    shelves = verdicts(
        lambda: partial(ShelfStore, tmp_path / "db"), cases=[ONE, "a_load_meets_a_sweep"], modes=["interleaved"]
    )
    assert [(each.status, each.remark) for each in shelves] == [("ok", "")] * 2, shelves[0].reason


@pytest.mark.parametrize("yields", [None, "io"])
def test_a_store_that_reaches_for_a_database_is_stopped_there(yields: str | None, tmp_path: Path) -> None:
    """Two statements with nobody kept away are found out between them, by name; with the lock it is right."""
    for kind, status in ((ShelfStore, "ok"), (undeclared.CarelessShelf, "fail")):
        make = partial(kind, tmp_path / f"{status}.db")
        (verdict,) = verdicts(lambda make=make: make, cases=[ONE], modes=["interleaved"], yields=yields)  # type: ignore[misc]
        assert (verdict.status, verdict.remark) == (status, ""), verdict.reason
    assert "SELECT shelf" in str(verdict.error)


def test_an_async_store_is_stopped_where_it_awaits_redis(redis_server: RedisServer, key_prefix: str) -> None:
    """It awaits no point, but its driver, and another task comes between two commands."""
    make = partial(undeclared.CarelessInRedis, redis_server.url, key_prefix)
    candidate = Candidate(None, evolve(PER_PROCESS, blocking=False), make)
    failure = ENCOUNTERS[ONE].search("interleaved-async", candidate, CI).failure
    assert failure is not None
    assert "SET" in failure.render()


def test_the_modules_of_a_store_are_those_that_do_its_work() -> None:
    """Its class, its bases and what it holds of its own packages; nothing of Python or of a driver."""
    found = modules_of(undeclared.Facade(undeclared.Unlocked()))
    assert found[0] == "tests.contract.undeclared"
    assert "sessionguard.testing.model.sessions" not in modules_of(undeclared.Facade(ModelStore()))
    assert "sessionguard.testing.model.sessions" in modules_of(undeclared.Unlocked())
    assert all(name.startswith(("tests.", "sessionguard.testing.")) for name in found)
    facade = undeclared.Facade(undeclared.Unlocked())
    assert [type(part) for part in objects_of(facade)][:2] == [undeclared.Facade, undeclared.Unlocked]
    assert modules_of(undeclared.opaque(ModelStore())) == ()


def test_a_store_that_comes_to_a_point_declares_its_points() -> None:
    """Then it is stopped there, and its lines are left alone."""
    assert declares_points(MemoryStore())
    assert declares_points(planted.DeclaredModel())
    assert not declares_points(ModelStore())
    assert judged(MemoryStore).remark == ""


@pytest.mark.parametrize(
    "make_store, mode, yields, told",
    [
        (lambda: undeclared.opaque(undeclared.Unlocked()), "interleaved", None, "Opaque calls no point, and it is not"),
        (undeclared.Wordy, "interleaved", None, "Wordy calls no point, and its calls have too many lines"),
        (undeclared.WordyLater, "interleaved", None, "its lines come to no end"),
        (undeclared.Unlocked, "interleaved-async", None, "only a thread can be stopped at a line"),
        (undeclared.Unlocked, "interleaved", "ops", 'that is what yields="ops" says'),
        (undeclared.Unlocked, "interleaved", "declared", "Unlocked calls no point"),
    ],
)
def test_what_is_stopped_between_its_calls_only_is_told_so(
    make_store: Callable[[], Any], mode: str, yields: str | None, told: str
) -> None:
    """A store that cannot be stopped within its calls passes, with what that does not show and what to do."""
    verdict = judged(make_store, mode, yields=yields)
    assert verdict.status == "ok", verdict.reason
    assert verdict.remark.startswith(BETWEEN)
    assert told in verdict.remark
    assert 'yields="lines:MODULE,..."' in verdict.remark
    assert summary([verdict]) == "1 passed (1 between calls only)"
    assert f"1 passed, but {BETWEEN}" in render([verdict])


def test_an_async_store_that_awaits_no_point_is_told_so() -> None:
    """Its tasks are stopped between their calls, and the remedy is that of a coroutine."""
    places: list[ModelStore] = [ModelStore()]
    candidate = Candidate(None, evolve(PER_PROCESS, blocking=False), lambda: undeclared.AsyncModel(places[-1]))
    remark = ENCOUNTERS[ONE].play("interleaved-async", candidate, evolve(CI, encounter_schedules=1))
    assert remark.startswith(BETWEEN)
    assert "apoint before each access" in remark


MINE = """
import pytest
from sessionguard.testing import PER_PROCESS, StoreContract
from sessionguard.testing.model import ModelStore

class TestMine(StoreContract):
    capabilities = PER_PROCESS
    yields = "ops"

    @pytest.fixture
    def make_store(self):
        return ModelStore
"""


def test_pytest_says_so_at_its_end(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> None:
    """A line after the tests says how many cases looked between calls only, and JUnit has it for each."""
    pytester.makepyfile(test_mine=MINE)
    has_plugin = request.config.pluginmanager.hasplugin("sessionguard")
    plugin = [] if has_plugin else ["-p", "sessionguard.testing.plugin"]
    result = pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider", "-k", ONE, "--junitxml=j.xml")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*= sessionguard =*", f"1 passed, but {BETWEEN}*yields=*ops*"])
    assert 'name="sessionguard_remark" value="looked between' in (pytester.path / "j.xml").read_text("utf-8")
