"""Every layer kills what it is there for, with every seed, soon, small and repeatable."""

from pathlib import Path

from sessionguard.testing import Profile
from sessionguard.testing.mutants.table.measuring import examine, p95
from sessionguard.testing.mutants.table.rows import Effort
from tests.testing.mutants.cells import RACES, REQUIRED, Examined, each

_SCHEDULES = 50
_SECONDS = 1.0


@each(REQUIRED)
def test_a_mutant_is_killed_with_every_seed(examined: Examined, sg_profile: Profile) -> None:
    """Each layer that a row requires kills each of its mutants; races within 50 schedules and a second."""
    with examined.ready() as make:
        cell = examine(examined.row, examined.specimen, examined.layer, make, range(sg_profile.mutant_seeds))
    assert cell.is_killed, f"killed with {cell.killed} of {len(cell.findings)} seeds"
    assert all(finding.why for finding in cell.findings)
    if examined.layer == "I":
        assert p95(cell.tries) <= _SCHEDULES
        assert p95(cell.seconds) <= _SECONDS


@each(RACES)
def test_a_race_is_shrunk_and_repeated(examined: Examined, sg_profile: Profile, tmp_path: Path) -> None:
    """What is shown of a race has at most three workers and two preemptions, and its id repeats it every time."""
    with examined.ready() as make:
        outcome = examined.race.search(make, tmp_path, Effort(), shrink_seconds=5.0)
        assert outcome.failure is not None
        small = outcome.failure.minimal
        assert len(small.names) <= 3
        assert small.preemptions <= 2
        for _ in range(sg_profile.replays):
            again = examined.race.replay(make, tmp_path, outcome.failure.replay_id)
            assert again.replay_is_faithful
            assert again.failure is not None
            assert again.failure.verdict.is_like(outcome.failure.verdict)
