"""One application under every framework, whose views a test writes once: each is a coroutine function that is given
what the framework gives to views, and is awaited where the framework awaits.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from attrs import field, frozen

from sessionguard import Session, SessionGuard, SessionPolicy
from sessionguard.core.events import Event
from tests.adapters.external.stage import HOST, Answer, Browser, Reached
from tests.adapters.site import Clock, WatchedStore

R = TypeVar("R")

METHODS = ["GET", "HEAD", "OPTIONS", "POST"]
COOKIE = "__Host-sg"


class Awaited:
    """What blocks, with calls that can be awaited and never wait for an event loop."""

    def __init__(self, blocking: Any) -> None:
        self._blocking = blocking

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._blocking, name)

        async def awaited(*arguments: Any, **options: Any) -> Any:
            return call(*arguments, **options)

        return awaited

    @asynccontextmanager
    async def workspace(self, session: Session) -> AsyncIterator["Awaited"]:
        """Lend the workspace of `session`."""
        with self._blocking.workspace(session) as workspace:
            yield Awaited(workspace)


def run(work: Coroutine[Any, Any, R]) -> R:
    """Give what `work` gives, which waits for no event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        result: R = done.value
        return result
    work.close()
    raise AssertionError("it waits for an event loop")


@frozen(slots=False)
class At:
    """What a view is given; of the session nothing, before it looks."""

    _fields: Callable[[], Any]
    _visit: Callable[[], Any]
    guard: Any
    """The guard of the application; all calls are awaited."""
    aside: Callable[[Callable[[], Any]], Awaitable[Any]]
    """Runs a function in another thread, which knows nothing of this request, and gives what it gives."""

    @cached_property
    def fields(self) -> Any:
        """The data of the visitor's session: `flask.session`, `request.session`."""
        return self._fields()

    @cached_property
    def visit(self) -> Any:
        """The calls of the framework; all are awaited."""
        return self._visit()


@frozen
class Page:
    """A response that a view makes itself."""

    text: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)


@frozen
class Stream:
    """A response whose body is made piece by piece."""

    pieces: Iterable[bytes]
    headers: Mapping[str, str] = field(factory=dict)


View = Callable[[At], Coroutine[Any, Any, Any]]


class App(Reached, Protocol):
    """The application under one framework."""

    token_form: ClassVar[str]
    """The tokens of its guard: "token" or "key"."""
    answers_errors: ClassVar[bool]
    """Whether it has a page for errors of views; without one they are the server's to answer."""

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Let the application do `work` beside its requests."""

    def current(self) -> list[Session | None]:
        """Give which session code finds that runs where requests ran before."""

    def close(self) -> None:
        """Let go of what it has opened."""


class House:
    """The application of one framework, and what is behind it."""

    def __init__(self, make: Any, store: Any, workspaces: Path, policy: Any, config: Mapping[str, Any]) -> None:
        self.clock = Clock()
        self.store = WatchedStore(store)
        self.workspaces = workspaces
        self.policy = policy or SessionPolicy()
        self.config = config
        self.events: list[Event] = []
        self.views: dict[str, View] = {}
        # Looks at the same sessions unseen, blocking.
        self.guard = SessionGuard(
            store, workspaces, self.policy, clock=self.clock, sweep_interval=None, token_form=make.token_form
        )
        self.app: App = make(self)

    def view(self, function: View) -> View:
        """Serve `function` under its name, for every method."""
        self.views["/" + function.__name__] = function
        return function

    def browser(self, token: str | None = None) -> Browser:
        """Give a browser that holds `token`."""
        return Browser(self.app, {} if token is None else {COOKIE: token})

    def send(self, path: str, cookie: str | None = None, method: str = "GET", **headers: str) -> Answer:
        """Give the answer to a request with exactly this Cookie header."""
        sent = {"Host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.send(method, path, (sent | ({} if cookie is None else {"Cookie": cookie})).items(), b"")

    def visitor(self, owner: str | None = None, **data: Any) -> Browser:
        """Give the browser of a visitor whose session holds `data`."""
        return self.browser(self.guard.create(owner, data=data).token)

    def sessions(self) -> list[Session]:
        """Give all sessions there ever were."""
        return list(self.guard.sessions(status=None))

    def close(self) -> None:
        """Let go of everything."""
        self.app.close()
        self.guard.close()


def unknown_token(token_form: str, number: int = 0) -> str:
    """Give a token as the guard would make it, which leads nowhere."""
    return f"sgabc{number:027d}" if token_form == "key" else f"sg1_0_ab{number:043d}"
