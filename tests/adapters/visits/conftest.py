"""Visits of one store, blocking, awaited over an async guard, and awaited over a blocking guard in threads."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.adapters.fields import Fields
from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.visits import AsyncVisit, Visit, VisitRules
from sessionguard.core.events import Event
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing.machines.awaited import Awaited, Loops
from tests.adapters.site import WatchedStore


class Stage:
    """Opens visits, whose calls all block here; `guard` is a blocking one over the same store."""

    def __init__(self, kind: str, store: Any, loops: Loops) -> None:
        self.kind, self.store, self._loops = kind, WatchedStore(store), loops
        options: dict[str, Any] = {"sweep_interval": None}
        self.guard = SessionGuard(store, **options)
        self.own: Any = (AsyncSessionGuard if kind == "async" else SessionGuard)(cast(Any, self.store), **options)
        self.asked: Any = Awaited(self.own, loops) if kind == "async" else self.own
        """The guard of the visits, with calls that block."""
        self.events: list[Event] = []
        self.own.subscribe(self.events.append)

    def rules(self, **options: Any) -> VisitRules:
        """Give the rules of an application."""
        return VisitRules(**{"guard": self.own, "transport": CookieSettings(), **options})

    def visit(
        self, token: str | None = None, rules: VisitRules | None = None, *, presented: Sequence[bytes] = ()
    ) -> Visit:
        """Give the visit of a request that carries `token`, or the headers `presented`, with a mapping to write to."""
        if token is not None:
            presented = (f"__Host-sg={token}".encode(),)
        rules = self.rules() if rules is None else rules
        if self.kind == "blocking":
            visit: Any = Visit(rules, presented)
            visit.flows.fields = Fields(visit.session)
        else:
            visit = Awaited(AsyncVisit(rules, presented), self._loops)
            # As async adapters do: resolved when the mapping is asked for.
            visit.flows.fields = Fields(visit.flows.known)
        return cast(Visit, visit)

    def events_of(self, kind: type[Event]) -> list[Any]:
        """Give the events of this kind."""
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(params=["blocking", "async", "in threads"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Give the stage of the test."""
    store, loops = MemoryStore(), Loops()
    made = Stage(request.param, store, loops)
    yield made
    made.asked.close()
    made.guard.close()
    loops.close()
    store.close()
