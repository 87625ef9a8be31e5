"""Any WSGI application: a middleware that puts the visitor's session into the environment of its requests."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from sessionguard import context
from sessionguard.adapters import environment, http, settings, streaming
from sessionguard.adapters.fields import Fields
from sessionguard.adapters.modes import Concurrency, Mode
from sessionguard.adapters.visits import Visit
from sessionguard.errors import ConfigurationError, MisuseError, SessionGuardError
from sessionguard.guard import SessionGuard

VISIT: Final = "sessionguard.visit"
"""Where the environment carries what the request does with its session, a `Visit`."""
SESSION: Final = "sessionguard.session"
"""Where it carries the data of the visitor's session, a mapping to read and write (`Fields`)."""

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
_Head = tuple[str, list[tuple[str, str]], _ExcInfo | None]

_MADE: Final = (list, tuple)
# Nothing here would serve sessions that other programs name; better told than passed over.
_KNOWN: Final = streaming.KNOWN - {"EXTERNAL_IDS"}

_log = logging.getLogger("sessionguard.adapters")


class SessionGuardMiddleware:
    """Keeps sessions of a WSGI application in a guard.

    `app` finds the visitor's data in `environ["sessionguard.session"]` and everything else, such as `login`, in
    `environ["sessionguard.visit"]`; `current_session()` is the session while `app` and its body run. The store is
    asked at the first look at either. What was written is stored before the response begins; nothing can be
    written afterwards.

    The settings `SESSIONGUARD_*` are those of `config`, or without it those of the environment; without `guard` they
    also say which one to open. `concurrency` is "merge",
    "strict" or "serial"; the setting `SESSIONGUARD_CONCURRENCY` goes before it. `mode_for` gives the mode of a single
    request from its environment, or None for that of the application.

    Raises:
        ConfigurationError: a setting is wrong, or the guard must be awaited; the message names it.
    """

    def __init__(
        self,
        app: WSGIApplication,
        guard: SessionGuard | None = None,
        *,
        concurrency: Concurrency = "merge",
        config: Mapping[str, Any] | None = None,
        mode_for: Callable[[WSGIEnvironment], Mode | None] | None = None,
    ) -> None:
        if not callable(app):
            remedy = "the WSGI application comes first: SessionGuardMiddleware(app, guard)"
            raise ConfigurationError("app", type(app).__name__, remedy)
        read = environment.read(config, _KNOWN, has_guard=guard is not None)
        if guard is not None:
            guard = settings.blocking(guard)
            settings.check_unused(read)
        else:
            guard = settings.guard_of(read, SessionGuard)
        self.app = app
        self.guard = guard
        self.mode_for = mode_for
        self.rules = settings.rules_of(read, guard, concurrency=concurrency)
        transport = self.rules.transport
        self._interval = streaming.interval_of(read)
        self._header_key = "HTTP_" + transport.request_header.upper().replace("-", "_")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        header = environ.get(self._header_key)
        visit = Visit(self.rules, () if header is None else (header.encode("latin-1"),))
        visit.flows.fields = Fields(visit.session)
        response = _Response(visit, environ, start_response, self._interval)
        return response.begun(self.app, self.mode_for)


class _Response:
    """One response, from the call of the application to the close of its body.

    The headers are kept back until the first piece of the body is there, so that what is written up to then is stored
    and dresses them, and so that an error of ours can still become the answer to it.
    """

    __slots__ = (
        "_body",
        "_environ",
        "_head",
        "_interval",
        "_is_begun",
        "_is_whole",
        "_outer",
        "_pieces",
        "_start_response",
        "_visit",
        "_write",
    )

    def __init__(
        self, visit: Visit, environ: WSGIEnvironment, start_response: StartResponse, interval: timedelta | None
    ) -> None:
        self._visit = visit
        self._interval = interval
        self._environ = environ
        self._start_response = start_response
        self._head: _Head | None = None
        self._is_begun = False
        self._is_whole = False
        self._body: Iterable[bytes] = ()
        self._pieces: Iterator[bytes] = iter(())
        self._write: Callable[[bytes], object] | None = None
        # Another middleware of ours may stand around the application that calls this one with its own environment.
        self._outer: dict[str, Any] = {key: environ[key] for key in (VISIT, SESSION) if key in environ}
        environ[VISIT], environ[SESSION] = visit, visit.fields

    def begun(self, app: WSGIApplication, mode_for: Callable[[WSGIEnvironment], Mode | None] | None) -> Iterable[bytes]:
        """Call `app`, and give the body to send."""
        entry = self._entered()
        try:
            try:
                self._take_turn(mode_for)
                self._body = app(self._environ, self.start)
                if not self._is_made() or (self._head is None and not self._is_begun):
                    self._pieces = self._sent()
                    return self
                if not self._is_begun:
                    self._is_whole = True
                    self._begin()
            except SessionGuardError as error:
                self._body = self._answer(error)
        except BaseException:
            self.close()
            raise
        finally:
            context.leave(entry)
        # As it is: servers send a file, or a body of one piece, in ways of their own.
        self._leave()
        return self._body

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: _ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """Note how the response begins: the `start_response` that the application is given."""
        if self._is_begun:
            # The server raises on what `exc_info` holds if the headers are on their way.
            return self._start_response(status, self._dressed(headers), exc_info)
        if self._head is not None and exc_info is None:
            raise MisuseError("start_response was called twice; give exc_info to begin another response after an error")
        self._head = status, headers, exc_info
        return self.write

    def write(self, data: bytes) -> object:
        """Send `data`: the `write` that `start_response` gives."""
        if not self._is_begun:
            self._begin()
        assert self._write is not None
        return self._write(data)

    # The body

    def _sent(self) -> Iterator[bytes]:
        interval = self._interval
        return iter(self._body) if interval is None else streaming.looked_after(self._body, self._visit, interval)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        entry = self._entered()
        try:
            piece = next(self._pieces, None)
            if not self._is_begun and self._head is not None:
                self._begin()
        except SessionGuardError as error:
            self._pieces = iter(self._answer(error))
            piece = next(self._pieces, None)
        finally:
            context.leave(entry)
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Close the body; the request is over, and what it has not stored by now is not stored."""
        entry = self._entered()
        try:
            self._close_body()
        finally:
            context.leave(entry)
            self._leave()

    # Beginning

    def _take_turn(self, mode_for: Callable[[WSGIEnvironment], Mode | None] | None) -> None:
        visit = self._visit
        mode = None if mode_for is None else mode_for(self._environ)
        if mode is not None:
            if not isinstance(mode, Mode):
                remedy = 'have mode_for give Mode("merge"), Mode("strict"), Mode("serial"), READ_ONLY or None'
                raise ConfigurationError("mode_for", mode, remedy)
            visit.enter_mode(mode)
        if visit.flows.mode.takes_turns:
            visit.session()

    def _is_made(self) -> bool:
        """Tell whether no code of the application runs any more when its body is sent."""
        if isinstance(self._body, _MADE):
            return True
        wrapper = self._environ.get("wsgi.file_wrapper")
        return isinstance(wrapper, type) and isinstance(self._body, wrapper)

    def _begin(self) -> None:
        """Store what was written, then let the server begin the response."""
        assert self._head is not None
        status, headers, exc_info = self._head
        error = None if exc_info is None else exc_info[1]
        if isinstance(error, SessionGuardError) and status.startswith("500") and http.answer_to(error).status != 500:
            # The framework calls it a fault of the program, for it does not know better.
            raise error
        try:
            self._visit.save()
        finally:
            self._visit.seal()
        dressed = self._dressed(headers)
        self._is_begun, self._head = True, None
        self._write = self._start_response(status, dressed, exc_info)

    def _dressed(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        flows = self._visit.flows
        flows.begin_body(may_look=not (self._is_whole or _has_length(headers) or http.is_public(headers)))
        dressed = self._visit.private(headers)
        if flows.hands_out_token:
            self._warn()
        return dressed

    def _warn(self) -> None:
        transport = self._visit.flows.rules.transport
        environ = self._environ
        if isinstance(transport, http.CookieSettings) and transport.secure:
            spoken = environ["wsgi.url_scheme"]
            if http.is_plain(spoken, lambda name: environ.get("HTTP_" + name.upper().replace("-", "_"))):
                http.warn_of_lost_cookie()

    def _answer(self, error: SessionGuardError) -> list[bytes]:
        """Begin the response that tells of `error`, and give its body; what is the program's fault is raised on."""
        told = http.answer_to(error)
        if told.status == 500:
            raise error
        self._visit.seal()
        self._close_body()
        # The client learns the status; the rest is for the log. No error of ours holds a token or a raw line break.
        _log.warning("%s %s: %s", told.status, error.code, error)
        self._visit.flows.is_used = True
        status = f"{told.status} {HTTPStatus(told.status).phrase}"
        body = f"{status}\n".encode("ascii")
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        if told.retry_after_seconds is not None:
            headers.append(("Retry-After", str(told.retry_after_seconds)))
        self._is_begun, self._head = True, None
        # If the headers are on their way already, the server raises the error again.
        self._write = self._start_response(status, self._visit.private(headers), sys.exc_info())
        return [] if self._environ.get("REQUEST_METHOD") == "HEAD" else [body]

    # Ending

    def _close_body(self) -> None:
        body, self._body, self._pieces = self._body, (), iter(())
        close = getattr(body, "close", None)
        if close is not None:
            close()

    def _leave(self) -> None:
        self._visit.seal()
        self._environ.update(self._outer)

    def _entered(self) -> context.Entry:
        # For each step alone: the thread may serve others between them, and goes on when the response is over.
        return context.enter(self._visit.session, self._visit.flows.resolved)


def _has_length(headers: Iterable[tuple[str, str]]) -> bool:
    """Tell whether the response is whole, as its length is known."""
    return any(name.lower() == "content-length" for name, _ in headers)
