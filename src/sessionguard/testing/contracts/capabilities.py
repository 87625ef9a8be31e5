"""What a store under test says it can do, so that nothing is skipped without a visible reason."""

from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen

from sessionguard.stores.contract import FleetStore, LeasingStore, LimitingStore, ListingStore, LockingStore, Store

_ABILITIES: Final = {
    "listing": ListingStore,
    "locks": LockingStore,
    "leases": LeasingStore,
    "fleet": FleetStore,
    "limits": LimitingStore,
}


@frozen(kw_only=True)
class Capabilities:
    """What the store under test can do. Everything is expected unless it is declared missing."""

    blocking: bool = True
    """`make_store` gives a blocking store."""
    asynchronous: bool = True
    """`make_async_store` gives an async store; without one of its own, a blocking store is off-loaded to threads."""
    shared: bool = True
    """Calling `make_store` again gives another connection to the same sessions."""
    processes: bool = True
    """Other processes reach the same sessions, through a `make_store` that can be pickled."""
    durable: bool = True
    """Sessions outlive the store object that opened them."""
    listing: bool = True
    """It is a `ListingStore`."""
    locks: bool = True
    """It is a `LockingStore`."""
    leases: bool = True
    """It is a `LeasingStore`."""
    fleet: bool = True
    """It is a `FleetStore`."""
    limits: bool = True
    """It is a `LimitingStore`."""

    def missing(self, needs: frozenset[str]) -> str | None:
        """Give why a case with these needs is skipped, or None if nothing is missing."""
        lacking = sorted(need for need in needs if not getattr(self, need))
        if not lacking:
            return None
        declared = ", ".join(f"{need}=False" for need in lacking)
        return f"the store declares Capabilities({declared})"

    def lacking(self, store: Any) -> dict[str, str]:
        """Give the verbs that a store lacks by the optional ability that it declares and that needs them."""
        absent = {ability: verbs_lacking(store, protocol) for ability, protocol in _ABILITIES.items()}
        return {ability: verbs for ability, verbs in absent.items() if verbs and getattr(self, ability)}

    def complaints(self, store: Any) -> Iterator[str]:
        """Give what a blocking store lacks of the contract or of what is declared, and what it has undeclared."""
        kind = type(store).__name__
        if lacking := verbs_lacking(store):
            yield f"{kind} lacks {lacking} of sessionguard.stores.contract.Store"
        for ability, protocol in _ABILITIES.items():
            lacking = verbs_lacking(store, protocol)
            if lacking and getattr(self, ability):
                yield f"{kind} lacks {lacking}; write that, or declare Capabilities({ability}=False)"
            elif not lacking and not getattr(self, ability):
                yield f"{kind} is a {protocol.__name__}; take {ability}=False out of its Capabilities"


def verbs_lacking(store: Any, protocol: type = Store) -> str:
    """Give the verbs of a protocol that a store has not, with commas between them."""
    return ", ".join(name for name in vars(protocol) if not name.startswith("_") and not hasattr(store, name))


EVERYTHING: Final = Capabilities()

PER_PROCESS: Final = Capabilities(shared=False, processes=False, durable=False)
"""A store whose sessions live in one object of one process, such as the memory store."""
