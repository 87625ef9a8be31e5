"""The middleware: resolves the session of each request before the application runs."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Final, Self

from sessionguard import context
from sessionguard.adapters import environment, settings
from sessionguard.adapters.asgi.exchange import HttpExchange, Respond
from sessionguard.adapters.asgi.lifeline import Lifeline
from sessionguard.adapters.asgi.lifespan import serve_lifespan
from sessionguard.adapters.asgi.messages import App, Receive, Scope, Send, raw_values
from sessionguard.adapters.asgi.routes import Choice, mode_for
from sessionguard.adapters.asgi.session import GuardedSession, visit_in
from sessionguard.adapters.asgi.sockets import SocketExchange, is_own_origin, refuse, valid_origins
from sessionguard.adapters.asgi.watching import LoopPace, Pace, Watch
from sessionguard.adapters.external import ExternalIds
from sessionguard.adapters.http import CookieSettings, Transport
from sessionguard.adapters.modes import Concurrency
from sessionguard.adapters.visits import AsyncVisit, VisitRules
from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.core.instants import with_unit
from sessionguard.errors import ConfigurationError, MisuseError, SessionGuardError
from sessionguard.guard import SessionGuard

_KNOWN: Final = settings.KNOWN | {"ALLOWED_ORIGINS", "CHECK_INTERVAL"}
STATE: Final = "sessionguard"
"""Under which name `scope["state"]` has the visit: `request.state.sessionguard`."""


class SessionGuardMiddleware:
    """Keeps `scope["session"]` (`request.session`) of an ASGI application in a guard.

    `guard` is an `AsyncSessionGuard`, or a `SessionGuard`, whose calls then run in threads; it is not closed.
    `concurrency` is "merge", "strict" or "serial", or a function that is given the scope of a request and gives one of
    them, or None for "merge"; the marks of views (`sessionguard.adapters.concurrency`, `read_only`) go before it.

    The session is loaded once, as the request arrives, and stored as its response begins: if it cannot be stored, the
    client is told that instead. `scope["state"]["sessionguard"]` is the visit: login, logout and all else.

    Whether a session still goes on is asked every `check_interval` for WebSockets and streamed responses; one whose
    session has ended is closed, with code 4401, or cut off. WebSockets of pages of other sites are refused, but those
    of `allowed_origins`, such as "https://app.example.org".
    """

    pace: ClassVar[Pace] = LoopPace()
    """How time passes between two looks at the sessions of long connections."""

    def __init__(
        self,
        app: App,
        guard: AsyncSessionGuard | SessionGuard,
        *,
        concurrency: Concurrency | Choice = "merge",
        transport: Transport | None = None,
        scope: str = "default",
        lock_timeout: timedelta = timedelta(seconds=10),
        external: ExternalIds | None = None,
        allowed_origins: Iterable[str] = (),
        check_interval: timedelta | None = timedelta(seconds=5),
        respond: Respond | None = None,
    ) -> None:
        self.app = app
        self._choice: Choice | None = concurrency if callable(concurrency) else None
        self._respond = respond
        self._allowed_origins = valid_origins(allowed_origins)
        self._check_interval = _valid_interval(check_interval)
        self._owned: AsyncSessionGuard | None = None
        self.rules = VisitRules(
            guard=_valid_guard(guard),
            transport=CookieSettings() if transport is None else transport,
            concurrency="merge" if callable(concurrency) else concurrency,
            scope=scope,
            lock_timeout=lock_timeout,
            external=external,
        )
        self._header = self.rules.transport.request_header.lower().encode("latin-1")

    @classmethod
    def from_settings(
        cls,
        app: App,
        config: Mapping[str, Any] | None = None,
        *,
        guard: AsyncSessionGuard | SessionGuard | None = None,
        **options: Any,
    ) -> Self:
        """Give the middleware as the settings SESSIONGUARD_* of `config`, or else of the environment, describe it.

        A setting goes before the argument of its name in `options`. A `guard` that is passed goes before the settings
        that say which one to open; without it one is opened, and closed with the application, where the server says
        when that is.

        Raises:
            ConfigurationError: a setting is wrong; the message names it.
        """
        found = environment.read(config, _KNOWN, has_guard=guard is not None)
        settings.check_beside(found, transport=options.get("transport"))
        said = {**options, **settings.options_of(found), **_long_connections(found)}
        if guard is not None:
            settings.check_unused(found)
            return cls(app, guard, **said)
        owned = settings.guard_of(found, AsyncSessionGuard)
        made = cls(app, owned, **said)
        made._owned = owned
        return made

    @property
    def guard(self) -> AsyncSessionGuard | SessionGuard:
        """The guard of the application, for all other calls."""
        return self.rules.guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, one WebSocket or the life of the application."""
        if self._is_around(scope):
            # The same session again: a second object would know nothing of the first, and wait for its turn.
            await self.app(scope, receive, send)
        elif scope["type"] in ("http", "websocket") and _is_kept_by_another(scope):
            # As the response begins it would find our data in its place, and send them to the browser.
            raise MisuseError(
                "another middleware around sessionguard keeps request.session as well, such as Starlette's "
                "SessionMiddleware; take it out, sessionguard takes its place"
            )
        elif scope["type"] == "http":
            await self._serve_request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await serve_lifespan(self.app, self._owned, scope, receive, send)
        elif scope["type"] != "websocket":
            await self.app(scope, receive, send)
        elif is_own_origin(scope, self._allowed_origins):
            await self._serve_socket(scope, receive, send)
        else:
            await refuse(receive, send)

    def _is_around(self, scope: Scope) -> bool:
        visit = visit_in(scope)
        if visit is None:
            return False
        given, own = visit.flows.rules, self.rules
        same = given.guard is own.guard and given.scope == own.scope and given.transport == own.transport
        # Sealed, it is that of a request before, whose scope somebody uses again.
        return same and not visit.flows.is_sealed

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._visit(scope)
        exchange = HttpExchange(visit, scope, receive, send, partial(self._begin, visit), self._respond)
        await self._serve(visit, scope, exchange)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._visit(scope)
        await self._serve(visit, scope, SocketExchange(visit, scope, receive, send, partial(self._begin, visit)))

    async def _serve(self, visit: AsyncVisit, scope: Scope, exchange: HttpExchange | SocketExchange) -> None:
        try:
            with _InScope(scope, visit) as entry:
                try:
                    await self._resolve(visit, scope)
                    await exchange.serve(self.app, entry)
                except SessionGuardError as error:
                    if not await exchange.answer(error):
                        raise
        finally:
            # However it ended, cancelled too: nothing is written any more, and the next request has its turn.
            if not visit.flows.is_sealed:
                await visit.seal()

    def _visit(self, scope: Scope) -> AsyncVisit:
        return AsyncVisit(self.rules, raw_values(scope, self._header))

    def _begin(self, visit: AsyncVisit, lifeline: Lifeline) -> None:
        session = visit.flows.found
        if session is not None and self._check_interval is not None:
            lifeline.start(Watch(visit, session, self._check_interval, self.pace))

    async def _resolve(self, visit: AsyncVisit, scope: Scope) -> None:
        mode = mode_for(scope, self.app, self.rules.mode, self._choice)
        if mode is not visit.flows.mode:
            await visit.enter_mode(mode)
        await visit.run(visit.flows.resolve())
        if mode.takes_turns:
            # Whoever did not get a turn does not run without one.
            visit.flows.known()


def _is_kept_by_another(scope: Scope) -> bool:
    return "session" in scope and not isinstance(scope["session"], GuardedSession)


def _long_connections(found: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "ALLOWED_ORIGINS" in found:
        origins = found["ALLOWED_ORIGINS"]
        options["allowed_origins"] = origins.replace(",", " ").split() if isinstance(origins, str) else origins
    if "CHECK_INTERVAL" in found:
        interval = found["CHECK_INTERVAL"]
        options["check_interval"] = None if interval is None else settings.duration("CHECK_INTERVAL", interval)
    return options


def _valid_interval(value: object) -> timedelta | None:
    if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
        raise ConfigurationError(
            "SESSIONGUARD_CHECK_INTERVAL", value, with_unit(value, "give a timedelta above zero, or None to never look")
        )
    return value


class _InScope:
    """Shows the application its session inside the block."""

    __slots__ = ("_entry", "_former_session", "_former_visit", "_scope", "_state", "_visit")

    def __init__(self, scope: Scope, visit: AsyncVisit) -> None:
        self._scope = scope
        self._visit = visit

    def __enter__(self) -> context.Entry:
        scope, visit = self._scope, self._visit
        state = scope.setdefault("state", {})
        if STATE in state and visit_in(scope) is None:
            # Another request's: a server that gives the same state to all of a connection must not mix its visitors.
            scope["state"] = state = dict(state)
        # In place, because those around read there what those within have written; so it is put back for them.
        self._state, self._former_session, self._former_visit = state, scope.get("session"), state.get(STATE)
        scope["session"], state[STATE] = GuardedSession(visit), visit
        self._entry = context.enter(visit.flows.known, visit.flows.resolved)
        return self._entry

    def __exit__(self, *_: object) -> None:
        context.leave(self._entry)
        if self._former_session is not None:
            self._scope["session"] = self._former_session
        if self._former_visit is not None:
            self._state[STATE] = self._former_visit


def _valid_guard(guard: object) -> AsyncSessionGuard | SessionGuard:
    if isinstance(guard, str):
        remedy = "this is no guard yet; open one with AsyncSessionGuard.open(url), or give settings: config=..."
        raise ConfigurationError.of_url(guard, remedy, setting="guard")
    if not isinstance(guard, AsyncSessionGuard | SessionGuard):
        raise ConfigurationError("guard", type(guard).__name__, "give an AsyncSessionGuard, or a SessionGuard")
    return guard
