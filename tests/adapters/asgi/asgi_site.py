"""An ASGI application without any framework, whose views a test writes where it needs them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.core.events import Event
from tests.adapters.asgi.calling import Reply, call
from tests.adapters.site import Clock, WatchedStore

R = TypeVar("R")
View = Callable[..., Any]


class LoopStore(WatchedStore):
    """A watched store whose verbs are awaited and answer at once: nothing waits for a thread."""

    def __getattr__(self, name: str) -> Any:
        attribute = super().__getattr__(name)
        if not callable(attribute) or name == "close":
            return attribute

        async def answered(command: Any) -> Any:
            return attribute(command)

        return answered


class AsgiSite:
    """One application, its guard, its store and its clock; `guard` looks at the same store, blocking."""

    def __init__(self, store: Any, *, is_blocking: bool = False, policy: Any = None, **options: Any) -> None:
        self.clock = Clock()
        kind: Any = SessionGuard if is_blocking else AsyncSessionGuard
        self.store = (LoopStore if store.name == "memory" else WatchedStore)(store)
        self.served: Any = kind(self.store, None, policy, clock=self.clock, sweep_interval=None)
        self.guard = SessionGuard(store, None, policy, clock=self.clock, sweep_interval=None)
        self.events: list[Event] = []
        self.served.subscribe(self.events.append)
        self._views: dict[str, View] = {}
        self.app = SessionGuardMiddleware(self._serve, self.served, **options)

    def view(self, function: View) -> View:
        """Serve `function`, which is given the scope, under its name; it gives text, or sends its response itself."""
        self._views["/" + function.__name__] = function
        return function

    def call(self, path: str, method: str = "GET", **options: Any) -> Reply:
        """Give what the application answers to one request, in an event loop of its own."""
        return asyncio.run(call(self.app, path, method, **options))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run `work` in an event loop."""
        return asyncio.run(work)

    def visitor(self, owner: str | None = None, **data: Any) -> str:
        """Give the token of a visitor whose session holds `data`."""
        token = self.guard.create(owner, data=data).token
        assert token is not None
        return token

    def data(self) -> dict[str, Any]:
        """Give what the only session holds."""
        (stored,) = self.guard.sessions()
        return dict(stored.data)

    def session_count(self) -> int:
        """Give how many sessions there ever were."""
        return sum(1 for _ in self.guard.sessions(status=None))

    def close(self) -> None:
        """Let go of the store."""
        self.guard.close()
        closing = self.served.close()
        if inspect.isawaitable(closing):
            asyncio.run(_awaited(closing))

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        view = self._views[scope["path"]]
        given = view(scope) if len(inspect.signature(view).parameters) == 1 else view(scope, receive, send)
        if inspect.isawaitable(given):
            given = await given
        if given is not None:
            body = str(given).encode()
            length = (b"content-length", str(len(body)).encode())
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": body})


async def _awaited(work: Awaitable[R]) -> R:
    return await work
