"""Rounds of races that no verdict was found on: told when the run is over, and a failure at the deep profile."""

from functools import partial

import pytest
from attrs import evolve

from sessionguard.stores.memory import MemoryStore
from sessionguard.testing.contracts import arena
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.catalogue import CASES
from sessionguard.testing.contracts.reporting import summary
from sessionguard.testing.contracts.verdicts import Verdict, judge
from sessionguard.testing.history import Budget
from sessionguard.testing.profile import CI

RACE = "one_end_is_the_first"
FEW = evolve(CI, rounds=2, callers=3)
DEEP = evolve(FEW, name="deep")


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every history is too much."""
    monkeypatch.setattr(arena, "_JUDGING", Budget(steps=0))


def judged(mode: str, profile: object = FEW) -> Verdict:
    """Play the race on a right store."""
    store = MemoryStore()
    return judge(CASES[RACE], mode, Candidate(partial(lambda: store)), profile)  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_time")
@pytest.mark.parametrize("mode", ["threads", "tasks"])
def test_a_round_without_a_verdict_is_told(mode: str) -> None:
    """The case passes by what it asserts itself, with a remark that counts the rounds, also in the summary."""
    verdict = judged(mode)
    assert verdict.status == "ok", verdict.reason
    assert verdict.remark.startswith("2 of 2 rounds of a race stayed without a verdict")
    assert summary([verdict]) == "1 passed (1 stayed without a verdict)"


@pytest.mark.usefixtures("no_time")
def test_it_fails_at_the_deep_profile() -> None:
    """There every round has to be judged."""
    verdict = judged("threads", DEEP)
    assert (verdict.status, "UNKNOWN" in str(verdict.error)) == ("fail", True)


def test_where_all_rounds_are_judged_nothing_is_told() -> None:
    """The usual case, also at the deep profile."""
    assert [judged(mode, DEEP).remark for mode in ("threads", "tasks")] == ["", ""]


def test_after_some_seconds_in_vain_no_more_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those count as rounds without a verdict, too."""
    monkeypatch.setattr(arena, "_IN_VAIN_SECONDS", 0.0)
    assert judged("threads").remark.startswith("2 of 2 rounds of a race stayed without a verdict")


MINE = """
import pytest
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import PER_PROCESS, StoreContract
from sessionguard.testing.contracts import arena
from sessionguard.testing.history import Budget

arena._JUDGING = Budget(steps=0)

class TestMine(StoreContract):
    capabilities = PER_PROCESS

    @pytest.fixture
    def make_store(self):
        return MemoryStore
"""


def test_pytest_says_so_at_its_end(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> None:
    """A line under "sessionguard" tells how many cases passed without a verdict on some rounds."""
    pytester.makepyfile(test_mine=MINE)
    has_plugin = request.config.pluginmanager.hasplugin("sessionguard")
    plugin = [] if has_plugin else ["-p", "sessionguard.testing.plugin"]
    result = pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider", "-k", f"{RACE} and threads")
    result.stdout.fnmatch_lines(
        ["*= sessionguard =*", "1 passed, but 4 of 4 rounds of a race stayed without a verdict*"]
    )
