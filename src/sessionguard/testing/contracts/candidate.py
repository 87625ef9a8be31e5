"""The store under test: how to connect to it, blocking or async, and what it says it can do."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from attrs import field, frozen

from sessionguard.core.commands import Identify
from sessionguard.core.driving import perform, run, run_async
from sessionguard.stores.offload import OffloadedStore
from sessionguard.testing.contracts.capabilities import EVERYTHING, Capabilities
from sessionguard.testing.contracts.stage import Stage

MakeStore = Callable[[], Any]


def _check_factory(candidate: Any, attribute: Any, value: Any) -> None:
    if value is not None and not callable(value):
        raise TypeError(
            f"{attribute.alias} must give what makes a store, not the store: "
            f"functools.partial({type(value).__name__}, ...), or the class itself"
        )


@frozen
class Candidate:
    """A store under test in one place, which is empty when a case begins."""

    make_store: MakeStore | None = field(validator=_check_factory)
    """Gives a blocking store; called again, another connection to the same place."""
    capabilities: Capabilities = EVERYTHING
    own_async: MakeStore | None = field(default=None, validator=_check_factory, alias="make_async_store")
    """Gives an async store of the same place; None: the blocking one is off-loaded."""
    yields: str | None = None
    """Where callers are stopped in encounters: "declared", "io", "ops" or "lines:MODULE"; None: by what it does."""
    seed: int = 0
    replay: str | None = None
    """The id of the one schedule to play of an encounter, as a report told it."""

    def blocking(self) -> Any:
        """Give a new blocking connection."""
        if self.make_store is None:
            raise TypeError("the store under test has no make_store; declare Capabilities(blocking=False)")
        return self.make_store()

    def asynchronous(self) -> Any:
        """Give a new async connection."""
        return self.own_async() if self.own_async is not None else OffloadedStore(self.blocking())

    def _beside(self, store: Any) -> Any:
        if self.capabilities.shared:
            return self.asynchronous()
        # A blocking store in one object still meets itself, through a second thread.
        return OffloadedStore(store.blocking) if isinstance(store, OffloadedStore) else store

    @contextmanager
    def connected(self) -> Iterator[tuple[Any, Stage]]:
        """Give a blocking connection and a stage with another one; both are closed afterwards."""
        store = self.blocking()
        other = self.blocking() if self.capabilities.shared else store
        try:
            yield store, Stage(run(perform(Identify()), store), other, self.blocking)
        finally:
            try:
                other.close()
            finally:
                store.close()

    @asynccontextmanager
    async def connected_async(self) -> AsyncIterator[tuple[Any, Stage]]:
        """Give an async connection and a stage with another one; both are closed afterwards."""
        store = self.asynchronous()
        other = self._beside(store)
        try:
            yield store, Stage(await run_async(perform(Identify()), store), other, self.asynchronous)
        finally:
            try:
                await other.close()
            finally:
                await store.close()
