"""Source-DPOR: it finds every outcome that there is, with one schedule for each kind, and says when it is done."""

import random

import pytest

from sessionguard.core.points import Part
from sessionguard.testing import Profile
from sessionguard.testing.schedule.accesses import Point
from sessionguard.testing.schedule.causality import Causality
from sessionguard.testing.schedule.strategies.dpor import SourceDpor
from tests.testing.schedule.programs import Exhaustive, Program, outcomes, random_part_program, random_program


class ForgetsReads(SourceDpor):
    """A planted fault: a write that follows a read is taken to be independent of it."""

    def _visible(self, footprint: tuple[Point, ...]) -> tuple[Point, ...]:
        return tuple(point for point in footprint if point.mode != "r")


def disagreements(make: type[SourceDpor], seeds: range) -> list[int]:
    """Give the seeds of the programs for which it finds other outcomes than there are."""
    found = []
    for seed in seeds:
        program = random_program(random.Random(seed))
        if outcomes(program, make())[0] != outcomes(program, Exhaustive())[0]:
            found.append(seed)
    return found


def test_dpor_finds_exactly_the_outcomes_there_are(sg_profile: Profile) -> None:
    """On random programs with locks and conditions its outcomes, deadlocks among them, are those of all schedules."""
    assert disagreements(SourceDpor, range(sg_profile.programs)) == []


def test_a_fault_in_what_sleeps_is_seen() -> None:
    """A search that takes dependent accesses for independent ones loses outcomes on these programs."""
    assert disagreements(ForgetsReads, range(40)) != []


def test_a_fault_in_what_races_for_locks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that never lets another worker take a lock first loses outcomes on these programs."""
    monkeypatch.setattr(Causality, "_lock_race", lambda *_: [])
    assert disagreements(SourceDpor, range(40)) != []


@pytest.mark.parametrize("workers, schedules", [(1, 1), (2, 2), (3, 6), (4, 24)])
def test_one_schedule_for_each_order_of_writes(workers: int, schedules: int) -> None:
    """Writes of one thing by n workers take n! schedules."""
    program = Program(((("w", "x"),),) * workers)
    assert outcomes(program, SourceDpor())[1] == schedules


def test_independent_workers_take_one_schedule() -> None:
    """Workers that share nothing, or only read, need one schedule, however many points they have."""
    for instructions in ([("w", "x"), ("w", "y"), ("w", "z")], [("r", "x")] * 3):
        program = Program(tuple(tuple([(mode, f"{name}{number}") if mode == "w" else (mode, name)] * 4)
                                for number, (mode, name) in enumerate(instructions)))  # fmt: skip
        search = SourceDpor()
        assert outcomes(program, search)[1] == 1
        assert search.is_exhausted


@pytest.mark.parametrize("workers, schedules", [(2, 4), (3, 36), (4, 576)])
def test_no_kind_of_schedule_is_run_twice(workers: int, schedules: int) -> None:
    """Where n workers write one thing and then another there are n! * n! kinds of schedules, and as many runs."""
    program = Program(((("w", "x"), ("w", "y")),) * workers)
    search = SourceDpor()
    assert outcomes(program, search)[1] == schedules
    assert search.redundant == 0


def test_a_deadlock_is_among_the_outcomes() -> None:
    """Two locks taken in opposite orders: the search finds the schedule in which both workers wait."""

    def holding(first: str, second: str) -> tuple[tuple[str, str], ...]:
        return ("acq", first), ("acq", second), ("rel", second), ("rel", first)

    program = Program((holding("L", "M"), holding("M", "L")))
    found, _ = outcomes(program, SourceDpor())
    assert {stuck for _, _, stuck in found} == {(), (0, 1)}


def test_the_other_end_of_a_deadlock_is_explored() -> None:
    """Of a lock that is never given back each worker may be the one that has it."""
    program = Program(((("acq", "L"), ("w", "x")),) * 2)
    found, _ = outcomes(program, SourceDpor())
    assert {stuck for _, _, stuck in found} == {(0,), (1,)}


@pytest.mark.parametrize("workers, schedules", [(2, 2), (3, 6), (4, 24)])
def test_one_schedule_for_each_order_of_a_lock(workers: int, schedules: int) -> None:
    """A lock is not tried where it cannot be taken: n critical sections take n! schedules, and none in vain."""
    holder = (("acq", "L"), ("r", "x"), ("w", "x"), ("rel", "L"))
    program = Program(((holder,) * workers) + ((("w", "y"), ("w", "y")),))
    search = SourceDpor()
    assert outcomes(program, search)[1] == schedules
    assert search.redundant == 0


def test_parts_and_wholes_lose_no_outcome(sg_profile: Profile) -> None:
    """Where some reach parts of what others reach as a whole, its outcomes are those of all schedules."""
    for seed in range(sg_profile.programs):
        program = random_part_program(random.Random(seed))
        assert outcomes(program, SourceDpor())[0] == outcomes(program, Exhaustive())[0], f"seed {seed}"


def test_a_whole_that_is_forgotten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes parts to be independent of their whole loses outcomes on these programs."""
    monkeypatch.setattr("sessionguard.testing.schedule.causality.with_wholes", lambda accesses: accesses)
    programs = [random_part_program(random.Random(seed)) for seed in range(40)]
    assert any(outcomes(program, SourceDpor())[0] != outcomes(program, Exhaustive())[0] for program in programs)


@pytest.mark.parametrize("mode", ["w", "r"])
def test_a_whole_meets_each_part_and_parts_do_not_meet(mode: str) -> None:
    """Two writers of two parts need one schedule; with a worker of the whole, before or after each of them, four."""
    part = [(("w", Part("x", name)),) for name in "12"]
    assert outcomes(Program(tuple(part)), SourceDpor())[1] == 1
    assert outcomes(Program((*part, ((mode, "x"),))), SourceDpor())[1] == 4
    readers = [(("r", Part("x", name)),) for name in "12"]
    assert outcomes(Program((*readers, (("r", "x"),))), SourceDpor())[1] == 1
