"""What is right passes every layer, however wrong it looks."""

from sessionguard.testing import Profile
from sessionguard.testing.mutants.table.measuring import examine
from sessionguard.testing.mutants.table.rows import Effort
from tests.testing.mutants.cells import TWINS, Examined, each

_RACING = sum(twin.layer == "I" for twin in TWINS)


@each(TWINS)
def test_a_twin_is_spared(examined: Examined, sg_profile: Profile) -> None:
    """No layer objects to a twin or a variant; in races not in all orders there are, nor in random ones beside."""
    with examined.ready() as make:
        for effort in _efforts(examined, sg_profile):
            [finding] = examine(examined.row, examined.specimen, examined.layer, make, [effort.seed], effort).findings
            assert not finding.is_killed, finding.why
            assert finding.tries > 0


def _efforts(examined: Examined, profile: Profile) -> list[Effort]:
    # Not the seeds of the mutants: the drawn traces are others here.
    thorough = Effort(seed=1, examples=profile.examples)
    if examined.layer != "I":
        return [thorough]
    share = -(-profile.twin_schedules // _RACING)
    return [
        Effort(schedules=profile.twin_schedules // 8, seconds=profile.patience),
        Effort(schedules=share, seconds=profile.patience, strategy="random"),
    ]
