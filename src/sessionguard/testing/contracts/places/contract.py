"""`WorkspaceContract`: the kit for places of files as a pytest class; a subclass with one fixture gets every case."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from sessionguard.testing.contracts.places.capabilities import PlaceCapabilities
from sessionguard.testing.contracts.places.catalogue import PLACE_CASES, PlaceCase
from sessionguard.testing.contracts.places.site import MakeWorkspaces, Site
from sessionguard.testing.contracts.wholeness import alterations, collected_beside, refuse_touched
from sessionguard.testing.profile import Profile
from sessionguard.workspaces.contract import InspectedWorkspaces, lacking_calls


class WorkspaceContract:
    """Every case that a place for files must pass. Subclass it, name it `Test...`, and override `make_workspaces`.

    A case can neither be overridden nor removed, only declared to fail, in `xfail`: it is run all the same, and
    once it passes the declaration has to go.
    """

    capabilities: ClassVar[PlaceCapabilities] = PlaceCapabilities()
    """What the place can do; what is declared missing is skipped visibly."""
    xfail: ClassVar[Mapping[str, str]] = {}
    """Case -> the reason why the place cannot show that behaviour yet."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        refuse_touched(cls, _GUARDS)

    @pytest.fixture
    def make_workspaces(self) -> MakeWorkspaces:
        """Give a callable that connects to one place, empty at the beginning of each test; override this.

        Every call of it is another connection to the same place, not yet open for a deployment. For cases with
        processes it is pickled, so prefer `functools.partial(MyWorkspaces, tmp_path)` to a lambda.
        """
        raise NotImplementedError(f"{type(self).__name__} must override the fixture make_workspaces")

    @pytest.fixture
    def workspace_site(self, make_workspaces: MakeWorkspaces, sg_profile: Profile) -> Site:
        """The place under test, as the cases see it."""
        return Site(make_workspaces, self.capabilities, sg_profile)

    def test_the_kit_is_whole(self, request: pytest.FixtureRequest) -> None:
        """Every case of the register is collected, as the kit wrote it, or declared to fail."""
        assert __debug__, "assertions are switched off; run the kit without -O"
        assert list(alterations(type(self), _METHODS, _ONCE, collected_beside(request.node))) == []

    def test_the_capabilities_are_true(self, workspace_site: Site) -> None:
        """The place has every call of the contract, and its leases and looks are as the capabilities say."""
        place = workspace_site.make()
        lacking = lacking_calls(place)
        assert not lacking, f"{type(place).__name__} lacks {', '.join(lacking)} of sessionguard.workspaces.Workspaces"
        in_store = bool(getattr(place, "leases_in_store", False))
        inspected = isinstance(place, InspectedWorkspaces)
        assert inspected is self.capabilities.inspection, (
            f"is_young, measure and leftovers are {'there' if inspected else 'not all there'}: "
            f"declare PlaceCapabilities(inspection={inspected})"
        )
        assert in_store is not self.capabilities.leases, (
            f"leases_in_store is {in_store}: declare PlaceCapabilities(leases={not in_store})"
        )


_GUARDS: dict[str, Any] = {
    name: vars(WorkspaceContract)[name] for name in ("test_the_kit_is_whole", "test_the_capabilities_are_true")
}


def _method(case: PlaceCase) -> Callable[..., None]:
    def test(self: WorkspaceContract, workspace_site: Site) -> None:
        __tracebackhide__ = True
        refusal = workspace_site.capabilities.missing(case.needs)
        if refusal is not None:
            pytest.skip(refusal)
        declared = self.xfail.get(case.name)
        try:
            case.play(workspace_site)
        except Exception:
            if declared is None:
                raise
            pytest.xfail(declared)
        if declared is not None:
            pytest.fail(f"{case.name} is declared to fail ({declared}), but passes; remove it from `xfail`")

    test.__name__ = f"test_{case.name}"
    test.__qualname__ = f"WorkspaceContract.{test.__name__}"
    test.__doc__ = case.behaviour
    return pytest.mark.processes(test) if "processes" in case.needs else test


_METHODS = {f"test_{case.name}": _method(case) for case in PLACE_CASES.values()}
_ONCE = dict.fromkeys(_METHODS, 1)
for _name, _function in _METHODS.items():
    setattr(WorkspaceContract, _name, _function)
