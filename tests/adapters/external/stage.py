"""One application under every framework: its visitors log in, and other programs drive its workflows by `?_sid=`.

A stage dispatches one request; the browser with its cookies, and all tests, know no framework.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from attrs import field, frozen

from sessionguard import SessionGuard, SessionPolicy
from sessionguard.adapters.external import ExternalIds
from sessionguard.core.events import Event
from sessionguard.core.session import Session
from tests.adapters.site import Clock, WatchedStore

HOST = "app.example.org"


@frozen
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    def all(self, name: str) -> list[str]:
        """Give every value of the header `name`."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Reached(Protocol):
    """An application that can be sent one request."""

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """Give the answer to one request; no cookies are kept."""


class App(Reached, Protocol):
    """The application under one framework."""

    @staticmethod
    def header(request: Any, name: str) -> str | None:
        """Give a header of what the framework hands to functions of the application."""

    def close(self) -> None:
        """Let go of what it has opened."""


class Backstage:
    """What the applications of all frameworks have in common: the guard, its store and clock, and what it tells."""

    def __init__(self, store: Any, workspaces: Path, ids: ExternalIds, clock: Clock, policy: Any = None) -> None:
        self.clock = clock
        self.store = WatchedStore(store)
        self.ids = ids
        self.workspaces = workspaces
        self.policy = policy or SessionPolicy(touch_interval=timedelta(0), idle_timeout=timedelta(hours=2))
        self.guard = SessionGuard(self.store, workspaces, self.policy, clock=self.clock, sweep_interval=None)
        self.events: list[Event] = []
        self.guard.subscribe(self.events.append)

    def work(self, session: Session | None, visitor: Session | None, document: str | None) -> dict[str, Any]:
        """Put `document` into the workflow, and give what is in it."""
        mine = None if visitor is None else visitor.owner
        if session is None:
            return {"id": None, "documents": [], "visitor": mine}
        if document is not None:
            session = self.guard.modify(
                session, lambda data: {**data, "documents": [*data.get("documents", []), document]}
            )
            with self.guard.workspace(session) as workspace:
                workspace.write(f"{document}.txt", document.encode())
        return {"id": session.id, "documents": session.data.get("documents", []), "visitor": mine}

    def told(self, kind: type[Event]) -> list[Any]:
        """Give the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def active(self, scope: str = "external") -> list[Session]:
        """Give the active sessions."""
        return list(self.guard.sessions(scope=scope))


@frozen
class Stage:
    """An application and what is behind it."""

    app: App
    back: Backstage

    def browser(self) -> "Browser":
        """Give a browser without cookies."""
        return Browser(self.app)


@frozen
class Browser:
    """Keeps cookies, and sends them all: one site is all there is."""

    app: Reached
    cookies: dict[str, str] = field(factory=dict)
    headers: dict[str, str] = field(factory=dict)

    def get(self, path: str, query: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """GET a page."""
        return self.send("GET", path, query, headers)

    def post(
        self,
        path: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        form: Any = None,
        json_text: str | None = None,
    ) -> Answer:
        """POST a form, JSON or nothing."""
        body, kind = b"", None
        if form is not None:
            body, kind = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif json_text is not None:
            body, kind = json_text.encode(), "application/json"
        return self.send("POST", path, query, {**({"Content-Type": kind} if kind else {}), **(headers or {})}, body)

    def send(
        self, method: str, path: str, query: str = "", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send one request, and keep or forget the cookies that come back."""
        sent = {"Host": HOST, **self.headers, **(headers or {})}
        if body:
            sent["Content-Length"] = str(len(body))
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.app.send(method, f"{path}?{query}" if query else path, sent.items(), body)
        for cookie in answer.all("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].strip().partition("=")
            if "Max-Age=0" in cookie:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def login(self, owner: str) -> "Browser":
        """Log in, and give itself."""
        assert self.post("/login", f"owner={owner}").status == 200
        return self

    def opened(self, query: str = "", **options: Any) -> str:
        """Open a session, and give what `_sid` has to carry."""
        answer = self.post("/new-session", query, **options)
        assert answer.status == 201, answer
        opened: str = answer.json["session_id"]
        return opened

    def documents(self, sid: str) -> list[str]:
        """Give what is in the workflow that `sid` selects."""
        answer = self.get("/work", f"_sid={sid}")
        assert answer.status == 200, answer
        found: list[str] = answer.json["documents"]
        return found

    def add(self, sid: str, document: str) -> None:
        """Put a document into the workflow that `sid` selects."""
        answer = self.post("/work", f"_sid={sid}&document={document}")
        assert answer.status == 200, answer
