"""A store without optional abilities, as one begins with, passes the kit once it declares that."""

from typing import Any

import pytest
from attrs import evolve

from sessionguard.stores.contract import Store
from sessionguard.testing import PER_PROCESS, Capabilities, StoreContract, verdicts
from sessionguard.testing.contracts.candidate import MakeStore
from sessionguard.testing.model import ModelStore

VERBS = {name for name in vars(Store) if not name.startswith("_")}
WITHOUT_ABILITIES = evolve(PER_PROCESS, listing=False, locks=False, leases=False, fleet=False, limits=False)


class PlainStore:
    """A blocking store with what the contract asks for, and nothing else."""

    lacking: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._model = ModelStore()

    def __getattr__(self, name: str) -> Any:
        if name not in VERBS - self.lacking:
            raise AttributeError(name)
        return getattr(self._model, name)


class TestPlainStore(StoreContract):
    """Every case but those of optional abilities, blocking and off-loaded."""

    capabilities = WITHOUT_ABILITIES

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """An empty store; another call would be another place."""
        return PlainStore


class HalfWritten(PlainStore):
    """A store whose author has not come to the end of the contract."""

    lacking = frozenset({"sweep", "purge", "close"})


@pytest.mark.parametrize(
    "store, capabilities, complaints",
    [
        (PlainStore, WITHOUT_ABILITIES, []),
        (
            PlainStore,
            Capabilities(),
            [
                "PlainStore lacks page; write that, or declare Capabilities(listing=False)",
                "PlainStore lacks acquire_lock, renew_lock, release_lock; "
                "write that, or declare Capabilities(locks=False)",
                "PlainStore lacks hold_lease, release_lease, leased_until; "
                "write that, or declare Capabilities(leases=False)",
                "PlainStore lacks census, find_due, take_turn, give_turn; "
                "write that, or declare Capabilities(fleet=False)",
                "PlainStore lacks limits_sessions; write that, or declare Capabilities(limits=False)",
            ],
        ),
        (
            HalfWritten,
            WITHOUT_ABILITIES,
            ["HalfWritten lacks sweep, purge, close of sessionguard.stores.contract.Store"],
        ),
        (
            ModelStore,
            Capabilities(listing=False),
            ["ModelStore is a ListingStore; take listing=False out of its Capabilities"],
        ),
    ],
)
def test_what_is_lacking_is_named(store: MakeStore, capabilities: Capabilities, complaints: list[str]) -> None:
    """What is absent is named verb by verb, with the declaration that says so where there is one."""
    assert list(capabilities.complaints(store())) == complaints


def test_a_store_instead_of_a_factory_is_told() -> None:
    """Giving a store where what makes one is asked for says what to give."""
    with pytest.raises(TypeError, match=r"make_store must give what makes a store.*partial\(PlainStore"):
        verdicts(PlainStore, cases=["the_first_reason_stays"])  # type: ignore[arg-type]
