"""The machine finds planted bugs: in one trace those of a single caller, in a burst those that need two."""

from functools import partial
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis import strategies as st

from sessionguard import SessionGuard
from sessionguard.core import session as session_module
from sessionguard.core.data import decode
from sessionguard.core.instants import to_us
from sessionguard.core.points import point
from sessionguard.testing import ModelStore, Place, TraceError, machine_settings, run_guard_machine
from sessionguard.testing.machines.burst import Concurrency
from sessionguard.testing.machines.machine import ClockMoved
from sessionguard.testing.machines.play import Done
from sessionguard.testing.machines.steps.changing import Counts, Rotates, Saves, Touches
from sessionguard.testing.machines.steps.ending import Ends, EndsOwner, Sweeps
from sessionguard.testing.machines.steps.opening import Opens
from sessionguard.testing.machines.steps.timing import MovesClock
from sessionguard.testing.mutants.catalogue import MUTANTS
from sessionguard.testing.profile import CI
from sessionguard.testing.schedule.clock import BEGINNING
from tests.testing.machines.places import POLICY, on_store

# Without shrinking: whether it is found is asked, not how small it gets. Most are found in the first few dozen; which
# traces are drawn depends on what else was imported, so there are many.
AS_FOUND: dict[str, Any] = {"phases": (Phase.generate,)}
SETTINGS = machine_settings(CI, max_examples=1_000, stateful_step_count=40, **AS_FOUND)

ALIKE = {"FoldsCase": ("ana", "Ana"), "EndsByPrefix": ("ab", "abc")}
"""Owners whom a bug takes for each other. Drawn from among others, these came only after hundreds of traces."""
TWINS = st.sampled_from(tuple(ALIKE.values()))
OF_ONE_CALLER = {
    "AliveAtItsDeadline": "a session lives at the very instant of its deadline",
    "SweepsATickEarly": "a sweep comes a tick early",
    "BelievesEveryClock": "a clock that is behind shortens lives",
    "UpsertOnSave": "a save brings back who has ended",
    "EndKillsSiblings": "an end takes the siblings along",
    "EndsByPrefix": "an end takes who has a longer name along",
    "FoldsCase": "two owners differ only in case",
    "ReplaceLeavesTwoActive": "a slot has two sessions",
    "LoginTakesTheSlot": "a visitor who logs in takes a slot",
    "IgnoresTheScope": "a token works in any scope",
    "IgnoresTheVersion": "an expected version is ignored",
    "ReplacesAllData": "a save loses the other fields",
    "KeepsDataAtTheEnd": "data outlive their session",
    "PurgesTheExpired": "who was never ended is forgotten",
    "GenerationRestarts": "a generation comes again",
    "HandsOutNewTokens": "a second caller's token replaces the first one's",
}
"""Planted bugs by name, with what the machine is to see."""
FOUND_IN_A_FEW = ("IgnoresTheVersion", "ReplacesAllData", "UpsertOnSave")


@pytest.mark.parametrize("name", OF_ONE_CALLER)
def test_a_trace_finds_what_one_caller_can_see(name: str) -> None:
    """A store with this bug disagrees with the model in some trace."""
    twins = st.just(ALIKE[name]) if name in ALIKE else TWINS
    with pytest.raises(TraceError, match="no world explains"):
        run_guard_machine(partial(on_store, MUTANTS[name].store), SETTINGS, bursts=0, twins=twins)


@pytest.mark.parametrize("name", FOUND_IN_A_FEW)
def test_a_few_traces_find_what_everybody_relies_on(name: str) -> None:
    """The traces of a few pushes find these bugs; which ones are drawn depends on what else was imported."""
    settings = machine_settings(CI, max_examples=5 * CI.examples, **AS_FOUND)
    with pytest.raises(TraceError, match="no world explains"):
        run_guard_machine(partial(on_store, MUTANTS[name].store), settings, bursts=0)


def test_a_trace_finds_data_that_sessions_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """If what callers do to nested data reaches others, some trace shows it."""
    kept: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(session_module, "decode", lambda text: kept.setdefault(text, decode(text)))

    def make_guard(place: Place) -> SessionGuard:
        if not place.kept:
            kept.clear()  # Each trace begins anew, so that it can be played again.
        return on_store(ModelStore, place)

    with pytest.raises(TraceError, match="the session shows"):
        run_guard_machine(make_guard, SETTINGS, bursts=0)


def with_points(store: Any) -> Any:
    """Give the planted bug with a declared point where it lets others in, instead of a wait."""

    class WithPoint(store):  # type: ignore[misc]  # whichever it is
        def gap(self, until: object = None) -> None:
            self.lock.release()
            try:
                point("gap", "(store)", "w")
            finally:
                self.lock.acquire()

        def await_gap(self) -> None:
            """Wait for nobody: the scheduler decides."""

    return WithPoint


ANA = Opens(verb="get_or_create", owner="ana")
REPLACES = Opens(verb="replace", owner="ana")
OPENED = [Done(ANA)]
EXPIRED = [*OPENED, ClockMoved(to_us(BEGINNING + POLICY.idle_timeout))]
OF_TWO_CALLERS: dict[str, tuple[list[Any], list[list[Any]]]] = {
    "CheckThenInsert": ([], [[ANA], [ANA]]),
    "ReplacesInTwoSteps": ([], [[REPLACES], [REPLACES]]),
    "ComparesThenWrites": (OPENED, [[Counts(session=0)], [Counts(session=0)]]),
    "WritesBackTheWholeRecord": (OPENED, [[Saves(session=0, changes={"a": 1})], [Saves(session=0, changes={"b": 1})]]),
    "SavesWhatHasJustEnded": (OPENED, [[Saves(session=0, changes={"a": 1})], [Ends(session=0)]]),
    "EndsWhatHasJustEnded": (OPENED, [[Ends(session=0)], [Ends(session=0, reason="escalated")]]),
    "SweepsByAStaleRead": (EXPIRED, [[Sweeps()], [MovesClock(by_us=-1), Touches(session=0)]]),
    "EndsWhomItSawFirst": (OPENED, [[EndsOwner(owner="ana")], [REPLACES]]),
    "ComparesThenRotates": (OPENED, [[Rotates(session=0)], [Rotates(session=0)]]),
    "TouchWritesTheWholeRecord": (OPENED, [[Touches(session=0)], [Saves(session=0, changes={"a": 1})]]),
}
"""Planted bugs by name, with the past and the callers that meet in them."""


@pytest.mark.parametrize("name", OF_TWO_CALLERS)
def test_a_burst_finds_what_two_callers_do_to_each_other(name: str) -> None:
    """In some order of these calls no sequence explains the answers; on the store without the bug there is none."""
    past, lists = OF_TWO_CALLERS[name]
    with pytest.raises(TraceError, match="a burst of concurrent calls goes wrong"):
        Concurrency(partial(on_store, with_points(MUTANTS[name].store)), is_open=True).search(past, lists, seed=0)
    Concurrency(partial(on_store, ModelStore), is_open=True).search(past, lists, seed=0)


def test_the_machine_draws_bursts_that_find_a_race() -> None:
    """A store that compares and then rotates is found by bursts that the machine draws."""
    broken = with_points(MUTANTS["ComparesThenRotates"].store)
    with pytest.raises(TraceError, match="burst"):
        run_guard_machine(partial(on_store, broken), SETTINGS, between_points=True, schedules=20)
