"""The kit of places for files catches what it is there to catch, passes what is right, and cannot be thinned out."""

from functools import partial
from pathlib import Path

import pytest

from sessionguard.errors import SessionGuardError
from sessionguard.testing import ModelWorkspaces, PlaceCapabilities, WorkspaceContract
from sessionguard.testing.contracts.places.catalogue import PLACE_CASES, PLACE_SUBJECTS
from sessionguard.testing.contracts.places.site import MakeWorkspaces, Site
from tests.contract.planted_places import PLANTED, PLANTED_ON_DISK, Planted

IN_MEMORY = PlaceCapabilities(shared=False, processes=False, paths=False)
WHAT_IS_CAUGHT = (AssertionError, OSError, ValueError, SessionGuardError)


class TestModelWorkspaces(WorkspaceContract):
    """The right twin of the planted places shows every behaviour."""

    capabilities = IN_MEMORY

    @pytest.fixture
    def make_workspaces(self) -> MakeWorkspaces:
        """A place in the memory of one object."""
        return ModelWorkspaces


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_bug_is_caught(planted: Planted) -> None:
    """Every case that is named for a broken place fails on it, for what the place did."""
    for name in planted.caught_by:
        with pytest.raises(WHAT_IS_CAUGHT) as caught:
            PLACE_CASES[name].play(Site(planted.make, IN_MEMORY))
        assert "AttributeError" not in str(caught.value)


@pytest.mark.processes
@pytest.mark.parametrize("planted", PLANTED_ON_DISK.values(), ids=PLANTED_ON_DISK.keys())
def test_a_bug_planted_on_the_disk_is_caught(planted: Planted, tmp_path: Path) -> None:
    """What only a directory or a killed process shows is caught on the disk."""
    for name in planted.caught_by:
        make: MakeWorkspaces = partial(planted.make, tmp_path / "workspaces")
        with pytest.raises(WHAT_IS_CAUGHT):
            PLACE_CASES[name].play(Site(make))


def test_every_case_can_fail() -> None:
    """Each case is named for a broken place, and each subject has cases."""
    proven = {name for planted in [*PLANTED.values(), *PLANTED_ON_DISK.values()] for name in planted.caught_by}
    assert set(PLACE_CASES) - proven == set()
    assert {case.subject for case in PLACE_CASES.values()} == set(PLACE_SUBJECTS)


MINE = """
from attrs import evolve
import pytest
from sessionguard.errors import SessionGuardError
from sessionguard.testing import ModelWorkspaces, PlaceCapabilities, WorkspaceContract

class TestMine(WorkspaceContract):
    capabilities = PlaceCapabilities(shared=False, processes=False, paths=False, leases=False)
    xfail = {"deleting_makes_room": "issue 7"}
    test_a_quota_is_exact = None

    @pytest.fixture
    def make_workspaces(self):
        return ModelWorkspaces
"""


def test_the_kit_cannot_be_thinned_out(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> None:
    """A subclass that leaves out a case, excuses one that passes, or declares what is not so, fails for each."""
    pytester.makepyfile(test_mine=MINE)
    installed = request.config.pluginmanager.has_plugin("sessionguard")
    options = () if installed else ("-p", "sessionguard.testing.plugin")
    chosen = "kit_is_whole or deleting_makes_room or capabilities_are_true"
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", *options, "-k", chosen)
    told = result.stdout.str()
    assert result.parseoutcomes()["failed"] == 3
    for complaint in (
        "test_a_quota_is_exact is overridden or removed",
        "but passes; remove it from `xfail`",
        "declare PlaceCapabilities(leases=True)",
    ):
        assert complaint in told


def test_the_guards_cannot_be_overridden() -> None:
    """A subclass that overrides a guard is refused as it is defined."""
    with pytest.raises(TypeError, match="overrides test_the_kit_is_whole"):
        type("TestMine", (WorkspaceContract,), {"test_the_kit_is_whole": None})
