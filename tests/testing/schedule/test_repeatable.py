"""Whatever finds a failure, in whatever engine: two preemptions and three workers show it, and its id repeats it."""

from functools import partial
from pathlib import Path

import pytest

from sessionguard.testing import CI, Profile
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Failure, Interleaver, Scenario
from sessionguard.testing.schedule.scenario import ScenarioFunction
from tests.testing.schedule import shared_files
from tests.testing.schedule.seeded import SEEDED, Seeded

TIMES = 100

# The shrinker may take as long as it needs on a machine that is busy.
THOROUGH = Interleaver(budget=Budget(schedules=20_000, seconds=120), shrink_seconds=60.0)


def failure_of(search: Interleaver, scenario: ScenarioFunction) -> Failure:
    """Give what a search finds, which there must be."""
    failure = search.run(scenario).failure
    assert failure is not None
    return failure


def repeated(failure: Failure, scenario: ScenarioFunction, times: int, search: Interleaver) -> int:
    """Give how often of so many times the id, as it is printed, leads to the same failure by the same steps."""
    same = 0
    steps = [step.point for step in failure.minimal.steps]
    for _ in range(times):
        outcome = search.run(scenario, replay=failure.replay_id)
        again = outcome.failure
        same += (
            again is not None
            and outcome.replay_is_faithful is True
            and again.verdict.is_like(failure.verdict)
            and [step.point for step in again.minimal.steps] == steps
        )
    return same


@pytest.mark.parametrize("strategy", ["auto", "urw", "pct3"])
@pytest.mark.parametrize("race", SEEDED, ids=lambda race: race.number)
def test_what_any_search_finds_is_small_and_repeated(race: Seeded, strategy: str, sg_profile: Profile) -> None:
    """With other seeds and by random walks the report is as small, and each id of it holds."""
    for seed in range(1, 2 if sg_profile is CI else 11):
        failure = failure_of(
            Interleaver(strategy, THOROUGH.budget, seed, shrink_seconds=THOROUGH.shrink_seconds), race.mutant
        )
        small = failure.minimal
        assert (small.preemptions <= 2, len(small.names) <= 3) == (True, True), failure.render()
        assert repeated(failure, race.mutant, TIMES, Interleaver()) == TIMES


@pytest.mark.processes
def test_a_race_of_processes_is_repeated(tmp_path: Path, sg_profile: Profile) -> None:
    """The id of a race between processes holds in processes that are started anew each time."""

    def opening(s: Scenario) -> None:
        (tmp_path / "alice").unlink(missing_ok=True)
        for name in ("a", "b"):
            s.process(name, partial(shared_files.open_session, folder=tmp_path, is_fixed=False))
        s.check(one_session)

    def one_session(history: History) -> None:
        assert len({operation.result for operation in history.operations}) <= 1

    failure = failure_of(THOROUGH, opening)
    times = 5 if sg_profile is CI else TIMES
    assert repeated(failure, opening, times, Interleaver()) == times
