"""The eight seeded races are found as fast as promised, shrunk, and repeated; their twins are proved to be clean."""

import pytest

from sessionguard.testing.schedule import Budget, Interleaver, Outcome
from tests.testing.schedule.seeded import SEEDED, Seeded

each_race = pytest.mark.parametrize("race", SEEDED, ids=lambda race: race.number)


def found(race: Seeded, strategy: str = "auto", seed: int = 0) -> Outcome:
    """Give what a search finds in the mutant."""
    return Interleaver(strategy, Budget(schedules=5_000, seconds=60), seed).run(race.mutant)


@each_race
def test_dpor_finds_the_race_within_its_number_of_schedules(race: Seeded) -> None:
    """Source-DPOR takes no more schedules than the table of the specification gives."""
    outcome = found(race, "dpor")
    assert outcome.failure is not None
    assert outcome.failure.schedules <= race.schedules


@each_race
def test_the_race_is_shrunk(race: Seeded) -> None:
    """What is reported has at most three workers and two preemptions, and fails again by its id."""
    outcome = found(race)
    assert outcome.failure is not None
    small = outcome.failure.minimal
    assert len(small.names) <= 3
    assert small.preemptions <= 2
    assert outcome.failure.replayed == (2, 2)


@each_race
def test_the_fixed_twin_is_proved(race: Seeded) -> None:
    """All schedules of the twin are explored, and none fails."""
    outcome = Interleaver(budget=Budget(schedules=5_000, seconds=60)).run(race.twin)
    assert outcome.exhausted
    assert outcome.ok
    assert "at the declared points" in outcome.describe()


@each_race
def test_the_id_repeats_the_failure_every_time(race: Seeded) -> None:
    """A replay id gives the same failure, by the same steps, a hundred times of a hundred."""
    failure = found(race).failure
    assert failure is not None
    for _ in range(100):
        outcome = Interleaver().run(race.mutant, replay=failure.replay_id)
        assert outcome.replay_is_faithful
        assert outcome.failure is not None
        assert outcome.failure.verdict.is_like(failure.verdict)
        assert [step.point for step in outcome.failure.schedule.steps] == [step.point for step in failure.minimal.steps]


@pytest.mark.parametrize("strategy", ["urw", "pos", "pct2", "pct3", "pct4", "random"])
@pytest.mark.parametrize("race", SEEDED[:4], ids=lambda race: race.number)
def test_random_searches_find_the_shallow_races(race: Seeded, strategy: str) -> None:
    """Each random search, by itself, finds the first four, whatever the declarations say."""
    for seed in range(3):
        outcome = found(race, strategy, seed)
        assert outcome.failure is not None
        assert outcome.failure.schedules <= 300


@pytest.mark.parametrize("strategy", ["urw", "pct3"])
@pytest.mark.parametrize("race", SEEDED[4:], ids=lambda race: race.number)
def test_random_searches_find_the_deep_races(race: Seeded, strategy: str) -> None:
    """A uniform walk and depth three find the other four, in more schedules."""
    assert found(race, strategy).failure is not None
