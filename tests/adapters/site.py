"""A Flask application whose views a test writes where it needs them, over a store that is watched and can fail."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from sessionguard import SessionGuard
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.core.events import Event
from sessionguard.errors import StoreUnavailableError

METHODS = ["GET", "HEAD", "OPTIONS", "POST"]


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Give the instant it stands at."""
        return self.now

    def advance(self, duration: timedelta) -> None:
        """Move it."""
        self.now += duration


class WatchedStore:
    """Passes every command on, writes down its verb, and can be told to be out of reach."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.verbs: list[str] = []
        self.failing: set[str] = set()
        self.before: Callable[[str], None] = lambda verb: None

    def __getattr__(self, name: str) -> Any:
        if name == "answer_inline":
            # A shortcut of async guards, past which nothing is to go unseen.
            raise AttributeError(name)
        attribute = getattr(self._store, name)
        if not callable(attribute) or name in {"close", "distrust", "examine", "migrate"}:
            return attribute

        def watched(command: Any) -> Any:
            self.before(name)
            self.verbs.append(name)
            if name in self.failing:
                raise StoreUnavailableError(self._store.name, name, "planted outage")
            return attribute(command)

        return watched

    def asked(self) -> list[str]:
        """Give the verbs since the last call, without the one that identifies the deployment."""
        verbs, self.verbs = [verb for verb in self.verbs if verb != "identify"], []
        return verbs


class Site:
    """One application, its guard, its store and its clock."""

    def __init__(
        self, store: Any, workspaces: Any = None, *, concurrency: Any = "merge", policy: Any = None, **config: Any
    ) -> None:
        self.clock = Clock()
        self.store = WatchedStore(store)
        self.workspaces = workspaces
        self.guard = SessionGuard(
            self.store,
            workspaces,
            policy,
            clock=self.clock,
            sweep_interval=None,
        )
        self.events: list[Event] = []
        self.guard.subscribe(self.events.append)
        self.app = Flask("site")
        self.app.config.update(config)
        self.extension = SessionGuardExtension(self.app, self.guard, concurrency=concurrency)
        self._views: dict[str, Callable[[], Any]] = {}
        self.app.add_url_rule("/<name>", "view", self._dispatch, methods=METHODS, provide_automatic_options=False)

    def view(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Serve `function` under its name, for every method."""
        self._views[function.__name__] = function
        return function

    def client(self) -> FlaskClient:
        """Give a browser without cookies."""
        return self.app.test_client()

    def sender(self) -> FlaskClient:
        """Give a client that sends exactly the Cookie header it is told to, and keeps none."""
        return self.app.test_client(use_cookies=False)

    def session_count(self) -> int:
        """Give how many sessions there ever were."""
        return sum(1 for _ in self.guard.sessions(status=None))

    def _dispatch(self, name: str) -> Any:
        return self._views[name]()


def token_of(client: FlaskClient, name: str = "__Host-sg") -> str | None:
    """Give what `client` holds in its cookie."""
    cookie = client.get_cookie(name)
    return None if cookie is None else cookie.value
