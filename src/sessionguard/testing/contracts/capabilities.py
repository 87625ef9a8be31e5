"""What a store under test says it can do, so that nothing is skipped without a visible reason."""

from typing import Final

from attrs import frozen


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

    def missing(self, needs: frozenset[str]) -> str | None:
        """Give why a case with these needs is skipped, or None if nothing is missing."""
        lacking = sorted(need for need in needs if not getattr(self, need))
        if not lacking:
            return None
        declared = ", ".join(f"{need}=False" for need in lacking)
        return f"the store declares Capabilities({declared})"


EVERYTHING: Final = Capabilities()

PER_PROCESS: Final = Capabilities(shared=False, processes=False, durable=False)
"""A store whose sessions live in one object of one process, such as the memory store."""
