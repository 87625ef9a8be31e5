"""`StoreContract`: the kit as a pytest class; a subclass with one fixture puts a store to every case in every mode."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from attrs import evolve

from sessionguard.testing.contracts.candidate import Candidate, MakeStore
from sessionguard.testing.contracts.capabilities import EVERYTHING, Capabilities
from sessionguard.testing.contracts.catalogue import CASES, Case
from sessionguard.testing.contracts.probing import APART, untrue
from sessionguard.testing.contracts.remarks import REMARK
from sessionguard.testing.contracts.wholeness import alterations, collected_beside, refuse_touched
from sessionguard.testing.profile import Profile
from sessionguard.testing.replaying import ReplayKind, replay_for


class StoreContract:
    """Every case of the kit, as tests. Subclass it, name the subclass `Test...`, and override `make_store`.

    A case can neither be overridden nor removed, only declared to fail, in `xfail`: it is run all the same, and
    once it passes the declaration has to go.
    """

    capabilities: ClassVar[Capabilities] = EVERYTHING
    """What the store can do; what is declared missing is skipped visibly."""
    xfail: ClassVar[Mapping[str, str]] = {}
    """Case -> the reason why the store cannot show that behaviour yet."""
    yields: ClassVar[str | None] = None
    """Where callers are interrupted in encounters: "declared", at the store's own calls of `point`; "io", where it
    reaches for files, databases or Redis; "lines:MODULE,...", at every line of these modules; "ops", only between
    calls. None: at its points if it has any, else at its io, else at the lines of its own modules, else between calls;
    then each case that passes says so."""

    _untrue: ClassVar[tuple[str, ...]] = ()
    """Of the capabilities, those that turned out to be missing though they were not declared so."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        refuse_touched(cls, _GUARDS)

    @pytest.fixture
    def make_store(self) -> MakeStore | None:
        """Give a callable that connects to one place, empty at the beginning of each test; override this.

        Every call of it is another connection to the same place. For races between processes it is
        pickled, so prefer `functools.partial(MyStore, tmp_path / "db")` to a lambda.
        """
        if self.capabilities.blocking:
            raise NotImplementedError(f"{type(self).__name__} must override the fixture make_store")
        return None

    @pytest.fixture
    def make_async_store(self) -> MakeStore | None:
        """Give the same for an async store of one's own; None: the blocking store is off-loaded to threads."""
        return None

    @pytest.fixture
    def store_candidate(
        self, request: pytest.FixtureRequest, make_store: MakeStore | None, make_async_store: MakeStore | None
    ) -> Candidate:
        """The store under test, as the cases see it: with the capabilities that it has, as far as that is known."""
        seed, replay = request.config.getoption("--sg-seed"), replay_for(ReplayKind.SCHEDULE, request.node)
        capabilities = evolve(self.capabilities, **dict.fromkeys(self._untrue, False))
        return Candidate(make_store, capabilities, make_async_store, yields=self.yields, seed=seed, replay=replay)

    def test_the_kit_is_whole(self, request: pytest.FixtureRequest) -> None:
        """Every case of the register is collected in all its modes, as the kit wrote it, or declared to fail."""
        assert __debug__, "assertions are switched off; run the kit without -O"
        modes = {f"test_{case.name}": len(case.modes) for case in CASES.values()}
        assert list(alterations(type(self), _METHODS, modes, collected_beside(request.node))) == []

    def test_the_capabilities_are_true(self, store_candidate: Candidate) -> None:
        """The store has every verb of the contract, and declares the optional abilities that it has, and no others.

        Other cases are spared what it turns out not to have: each would only fail for that once more.
        """
        candidate = evolve(store_candidate, capabilities=self.capabilities)
        type(self)._untrue = untrue(candidate)
        complaints = [APART] if "shared" in self._untrue else []
        if self.capabilities.blocking:
            store = candidate.blocking()
            complaints += self.capabilities.complaints(store)
            # Close may be among what is lacking.
            getattr(store, "close", lambda: None)()
        if complaints:
            pytest.fail("\n".join(complaints), pytrace=False)
        if not self.capabilities.blocking:
            pytest.skip("told by the async store, which has no protocols of its own for abilities")


_GUARDS: dict[str, Any] = {
    name: vars(StoreContract)[name] for name in ("test_the_kit_is_whole", "test_the_capabilities_are_true")
}


def _method(case: Case) -> Callable[..., None]:
    def test(
        self: StoreContract,
        request: pytest.FixtureRequest,
        mode: str,
        store_candidate: Candidate,
        sg_profile: Profile,
    ) -> None:
        __tracebackhide__ = True
        refusal = case.refusal(mode, evolve(store_candidate, capabilities=self.capabilities))
        if refusal is None and case.refusal(mode, store_candidate) is not None:
            refusal = f"the store has no {', no '.join(self._untrue)}: see test_the_capabilities_are_true"
        if refusal is not None:
            pytest.skip(refusal)
        declared = self.xfail.get(case.name)
        try:
            remark = case.play(mode, store_candidate, sg_profile)
        except Exception:
            if declared is None:
                raise
            pytest.xfail(declared)
        if remark:
            request.node.user_properties.append((REMARK, remark))
        if declared is not None:
            pytest.fail(f"{case.name} is declared to fail ({declared}), but passes; remove it from `xfail`")

    test.__name__ = f"test_{case.name}"
    test.__qualname__ = f"StoreContract.{test.__name__}"
    test.__doc__ = case.behaviour
    modes = [pytest.param(mode, marks=pytest.mark.processes if mode == "processes" else ()) for mode in case.modes]
    return pytest.mark.parametrize("mode", modes)(test)


_METHODS = {f"test_{case.name}": _method(case) for case in CASES.values()}
for _name, _function in _METHODS.items():
    setattr(StoreContract, _name, _function)
