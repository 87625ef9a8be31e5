"""A run that fails ends in bounded time, with the trace that it has by then, and does as much as the profile says."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.testing import ModelStore, Place, SessionGuardMachine, TraceError, machine_settings
from sessionguard.testing.machines.drawing import Sketch
from sessionguard.testing.machines.machine import ClockMoved
from sessionguard.testing.machines.play import Play
from sessionguard.testing.machines.steps.opening import Opens
from sessionguard.testing.machines.steps.reading import Loads
from sessionguard.testing.machines.steps.refusing import RefusesSaving
from sessionguard.testing.profile import CI, DEEP
from tests.testing.machines.places import on_store


class LoadsTheNewest(ModelStore):
    """A store that gives the newest session, whatever the token is."""

    newest: c.Opened | None = None

    def create(self, command: c.Create) -> c.Opened:
        """Keep it as the newest."""
        self.newest = super().create(command)
        return self.newest

    def load(self, command: c.Load) -> c.Loaded:
        """Give the newest, if there is one."""
        return super().load(command) if self.newest is None else c.Loaded(self.newest.record)


class Counted(SessionGuardMachine):
    """Counts the traces that are begun after one has failed."""

    shrink_seconds = 0.0
    bursts = 0
    has_failed, after = False, 0

    def __init__(self) -> None:
        super().__init__()
        type(self).after += self.has_failed

    def make_guard(self, place: Place) -> SessionGuard:
        """Make one on the broken store."""
        return on_store(LoadsTheNewest, place)

    def teardown(self) -> None:
        """See whether it has failed."""
        if isinstance(sys.exc_info()[1], TraceError):
            type(self).has_failed = True
        super().teardown()


def failure_of(machine: type[Counted]) -> TraceError:
    """Run it anew; give what it fails with."""
    machine.has_failed, machine.after = False, 0
    with pytest.raises(TraceError, match="no world explains") as caught:
        machine.TestCase("runTest").runTest()
    return caught.value


def test_the_search_for_a_shorter_trace_ends_in_time() -> None:
    """When the time is up no more traces are played but the one that is told, which says so."""
    failure = failure_of(Counted)
    assert Counted.after == 1
    assert any("a shorter trace was looked for 0 s" in note for note in failure.__notes__)


def test_a_run_after_one_that_failed_has_all_its_time() -> None:
    """The time that one run has used up is there again in the next."""

    class Again(Counted):
        pass

    failure_of(Again)
    Again.shrink_seconds = 2.0
    failure_of(Again)
    assert Again.after > 1


def test_a_trace_shows_where_the_clock_moved() -> None:
    """Between the steps, forward and back, with the instant that it shows then."""
    play = Play(lambda place: on_store(ModelStore, place))
    try:
        play.do(Opens(verb="create", owner="ana"))
        begins = play.hand.now_us
        ClockMoved(begins + 3_600_000_000).again(play)
        play.do(Loads(session=0))
        ClockMoved(begins - 1).again(play)
        told = play.report("a step", "an answer", []).splitlines()
    finally:
        play.close()
    shown = [line.strip().partition(" to ")[0] for line in told[told.index("the trace:") + 1 :]]
    assert [shown[1], shown[3]] == ["the clock moves by +1:00:00", "the clock moves by -1:00:00.000001"]
    assert shown[0].startswith("Opens(")
    assert shown[2].startswith("Loads(")


def nested(depth: int) -> Any:
    """Give lists in each other."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


DEEP_DATA = nested(2_000)


@machine_settings(max_examples=1)
@given(st.just(Sketch(RefusesSaving, {"session": 0, "changes": {"a": DEEP_DATA}})))
def always_fails(sketch: Sketch) -> None:
    """Fail, whatever is drawn."""
    raise TraceError


def test_a_trace_with_data_that_are_too_deep_is_told() -> None:
    """Hypothesis shows such a step in its report, instead of failing at it and calling the machine flaky."""
    with pytest.raises(TraceError) as caught:
        always_fails()
    assert any("RefusesSaving(session=0" in note for note in caught.value.__notes__)
    assert str(RefusesSaving(session=0, changes={"a": DEEP_DATA})).startswith("RefusesSaving(via=0, session=0")


PROJECT = """
from hypothesis.stateful import rule
from sessionguard.testing import SessionGuardMachine, machine_settings

class Mine(SessionGuardMachine):
    pass

TestMine = Mine.TestCase
CHOSEN = machine_settings()

def test_counts():
    for chosen in (TestMine.settings, CHOSEN, machine_settings()):
        print(chosen.max_examples, chosen.stateful_step_count, chosen.derandomize)
"""


@pytest.mark.parametrize("profile", [CI, DEEP], ids=lambda profile: profile.name)
def test_a_machine_does_as_much_as_the_profile_says(profile: Any, tmp_path: Path) -> None:
    """The settings of a machine, also those chosen while a module is imported, are those of `--sg-profile`."""
    (tmp_path / "test_mine.py").write_text(PROJECT)
    asked = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-k", "test_counts"]
    told = subprocess.run(
        [*asked, f"--sg-profile={profile.name}", "test_mine.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.count(f"{profile.examples} {profile.steps} {profile.name == 'ci'}") == 3, told.stdout
