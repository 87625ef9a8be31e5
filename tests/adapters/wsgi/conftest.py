"""A WSGI application behind the middleware, over a store that is watched and can fail."""

from collections.abc import Iterator
from typing import Any
from wsgiref.types import WSGIApplication

import pytest

from sessionguard import SessionGuard, open_store
from sessionguard.adapters.wsgi import SessionGuardMiddleware
from tests.adapters.site import WatchedStore


class Wired:
    """Puts applications behind the middleware, all over one guard."""

    def __init__(self, store: Any) -> None:
        self.store = WatchedStore(store)
        self.guard = SessionGuard(self.store, sweep_interval=None)

    def __call__(self, app: Any, **options: Any) -> SessionGuardMiddleware:
        wsgi: WSGIApplication = app
        return SessionGuardMiddleware(wsgi, self.guard, **options)

    def session_count(self) -> int:
        """Give how many sessions there ever were."""
        return sum(1 for _ in self.guard.sessions(status=None))


@pytest.fixture
def wired() -> Iterator[Wired]:
    """Give what puts an application behind the middleware."""
    store: Any = open_store("memory://")
    made = Wired(store)
    yield made
    made.guard.close()
    store.close()
