"""Encounters find what only an order of callers shows, and prove of the memory store that no order shows anything."""

import pytest
from attrs import evolve

from sessionguard.stores.memory import MemoryStore, shelf, store
from sessionguard.testing import CI, PER_PROCESS, verdicts
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.catalogue import CASES
from sessionguard.testing.contracts.encounters import EncounterCase, EncounterError
from sessionguard.testing.contracts.yielding import Yields
from sessionguard.testing.model import ModelStore
from sessionguard.testing.schedule import Budget, Interleaver
from tests.contract import planted_orders as planted

ENCOUNTERS = {name: case for name, case in CASES.items() if isinstance(case, EncounterCase)}
LINES = f"lines:{store.__name__},{shelf.__name__}"

CAUGHT_BY: dict[type[ModelStore], tuple[str, ...]] = {
    planted.ChecksThenInserts: ("three_open_one_slot", "openings_meet_an_end"),
    planted.LosesUpdates: ("saves_meet_saves", "different_writers_meet"),
    planted.SavesWhatHasEnded: ("saves_meet_an_end", "replacements_meet_a_save"),
    planted.SweepsByAStaleRead: ("a_touch_meets_a_sweep", "sweeps_meet_sweeps"),
    planted.LocksInTwoSteps: ("two_want_a_lock",),
    planted.FencesStartAnew: ("a_stale_holder_meets_a_new_one",),
    planted.RefillsItsCache: ("loads_meet_an_end",),
    planted.RotatesInTwoSteps: ("a_rotation_meets_loads",),
}
PAIRS = [(bug, name) for bug, names in CAUGHT_BY.items() for name in names]


@pytest.mark.parametrize("mode", ["interleaved", "interleaved-async"])
@pytest.mark.parametrize("name", ENCOUNTERS)
@pytest.mark.timing
def test_every_order_on_the_memory_store_is_played(name: str, mode: str) -> None:
    """All schedules at its points are explored, in less than five seconds, and nobody waits unseen."""
    outcome = ENCOUNTERS[name].search(mode, Candidate(MemoryStore, PER_PROCESS), CI)
    assert outcome.exhausted, outcome.describe()
    assert outcome.workers == 3
    assert outcome.seconds < 5.0
    assert not outcome.unknown


@pytest.mark.parametrize("bug, name", PAIRS, ids=[f"{bug.__name__}-{name}" for bug, name in PAIRS])
def test_a_planted_order_is_found_soon_and_shown_small(bug: type[ModelStore], name: str) -> None:
    """It is found within fifty schedules, shown with at most two interruptions, and its id shows it again."""
    candidate = Candidate(bug, PER_PROCESS)
    outcome = ENCOUNTERS[name].search("interleaved", candidate, CI)
    assert outcome.failure is not None
    assert outcome.failure.schedules <= 50
    assert outcome.failure.minimal.preemptions <= 2
    assert outcome.failure.replayed == (2, 2)
    again = evolve(candidate, replay=outcome.failure.replay_id)
    with pytest.raises(EncounterError, match="reproduce"):
        ENCOUNTERS[name].play("interleaved", again, CI)


@pytest.mark.parametrize("bug", [bug for bug in CAUGHT_BY if bug is not planted.FencesStartAnew])
def test_a_planted_order_is_right_when_nobody_comes_between(
    bug: type[ModelStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Played one after the other in every order the same callers show nothing: it takes an interruption."""
    serial = lambda **settings: Interleaver("serial", Budget(50, 30.0), patience=settings["patience"])  # noqa: E731
    monkeypatch.setattr("sessionguard.testing.contracts.encounters.Interleaver", serial)
    for name in CAUGHT_BY[bug]:
        outcome = ENCOUNTERS[name].search("interleaved", Candidate(bug, PER_PROCESS), CI)
        assert outcome.failure is None, outcome.failure.render()


def test_an_async_store_of_its_own_is_searched_on_a_real_loop() -> None:
    """What is wrong in it between two awaits is found, with the tasks on asyncio's own loop."""
    places: list[ModelStore] = []

    def make() -> planted.AsyncInsertsInTwoSteps:
        return planted.AsyncInsertsInTwoSteps(places[-1])

    def place() -> ModelStore:
        places.append(ModelStore())
        return places[-1]

    place()
    candidate = Candidate(None, evolve(PER_PROCESS, blocking=False), make)
    outcome = ENCOUNTERS["three_open_one_slot"].search("interleaved-async", candidate, CI)
    assert outcome.failure is not None
    assert not outcome.exhausted


def test_lines_are_points_where_none_are_declared() -> None:
    """With `yields` naming its modules, a store without points is interrupted at every line, and its locks are seen."""
    case = ENCOUNTERS["three_open_one_slot"]
    broken = Candidate(planted.UnlockedMemory, PER_PROCESS, yields=LINES)
    assert case.search("interleaved", broken, CI).failure is not None
    right = Candidate(MemoryStore, PER_PROCESS, yields=LINES)
    outcome = case.search("interleaved", right, evolve(CI, encounter_schedules=150))
    assert outcome.failure is None, outcome.failure.render()


@pytest.mark.parametrize("text", ["", "line:x", "lines:", "lines: ,", "io:x", "opcodes"])
def test_other_words_for_where_a_store_yields_are_refused(text: str) -> None:
    """A word that is misspelt would search nothing; the error names those there are."""
    with pytest.raises(ValueError, match=r'"declared", "io", "ops", or "lines:"'):
        Yields.parse(text)


def test_a_verdict_carries_the_report() -> None:
    """Without pytest, too, what is wrong is told as the shortest schedule, with the operation that fits nowhere."""
    [verdict] = verdicts(
        lambda: planted.ChecksThenInserts,
        capabilities=PER_PROCESS,
        cases=["three_open_one_slot"],
        modes=["interleaved"],
    )
    assert verdict.status == "fail"
    report = str(verdict.error)
    assert "RACE" in report
    assert "gap model" in report
    assert "reproduce" in report
    assert "stuck" in report or "ILLEGAL" in report
