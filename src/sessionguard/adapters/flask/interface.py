"""Flask's session interface over a visit: what happens as a request begins, answers and is torn down."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Request, Response, request
from flask.ctx import RequestContext
from flask.globals import request_ctx
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.local import LocalProxy

from sessionguard import context
from sessionguard.adapters import http, streaming
from sessionguard.adapters.flask import answers
from sessionguard.adapters.flask.session import GuardedSession
from sessionguard.adapters.visits import Visit, VisitRules
from sessionguard.errors import SessionGuardError

_log = logging.getLogger("sessionguard.adapters")


class GuardedSessionInterface(SessionInterface):
    """Opens and saves `flask.session` for one application."""

    def __init__(self, rules: VisitRules, check_interval: timedelta | None) -> None:
        """`check_interval` is how often a streamed response looks whether its session goes on; None for never."""
        self.rules = rules
        self._check_interval = check_interval
        # Of these rules alone: an application that calls another one with its own environment keeps its session.
        self.environ_key = f"sessionguard.session.{id(rules)}"
        """Where the WSGI environment carries the session object of its request, and its entry as the current one."""
        self._has_told_of_another = False
        transport = rules.transport
        self._sets_secure_cookie = isinstance(transport, http.CookieSettings) and transport.secure
        self._header_key = "HTTP_" + transport.request_header.upper().replace("-", "_")

    @property
    def cookie(self) -> http.CookieSettings:
        """How the cookie is named and limited; the default, which is never set, if tokens travel in a header."""
        transport = self.rules.transport
        return transport if isinstance(transport, http.CookieSettings) else http.CookieSettings()

    def open_session(self, app: Flask, request: Request) -> GuardedSession:
        """Give the session object of the request; the store is not asked before its first use."""
        environ = request.environ
        if self.environ_key in environ:
            # Flask's test client opens a second object for one request; two would hold the lock against each other.
            self.leave(environ)
        header = environ.get(self._header_key)
        visit = Visit(self.rules, () if header is None else (header.encode("latin-1"),))
        session = GuardedSession(visit)
        environ[self.environ_key] = session, context.enter(visit.session, visit.flows.resolved), _flask_context()
        return session

    def tell_of_another(self, app: Flask) -> None:
        """Tell the log, once, that `app` has another interface by now, whose sessions are none of ours."""
        if not self._has_told_of_another:
            self._has_told_of_another = True
            _log.error("%s; %s", *others_place(app))

    def opened_in(self, environ: WSGIEnvironment) -> GuardedSession | None:
        """Give the session object that `open_session` made for the request; None before and after."""
        opened = environ.get(self.environ_key)
        return None if opened is None else opened[0]

    def tear_down(self, error: BaseException | None) -> None:
        """Leave the request that Flask tears down, if it is that and not a copy of it for a job."""
        current = _flask_context()
        environ = current.request.environ
        opened = environ.get(self.environ_key)
        # Jobs with `copy_current_request_context` are torn down, too, in any thread and while the request goes on.
        if opened is not None and opened[2] is current:
            self.leave(environ, error)

    def leave(self, environ: WSGIEnvironment, error: BaseException | None = None) -> None:
        """Forget the session object of the request, which is over or begins anew."""
        opened = environ.pop(self.environ_key, None)
        if opened is not None:
            session, entry, _ = opened
            context.leave(entry)
            session.visit.release()
            # Without an error it was sealed as it was saved; or the test client goes on to write to it.
            if error is not None:
                session.visit.flows.stop()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store what the request changed, set the headers and seal the session.

        If it cannot be stored, the response becomes the answer to that error: the view's own answer would
        promise what has not happened.
        """
        assert isinstance(session, GuardedSession)
        visit = session.visit
        try:
            # Sealed before: Flask comes a second time when the first one led to an error page.
            if not visit.flows.is_sealed:
                visit.save()
        except SessionGuardError as error:
            answers.replace(response, app.make_response(app.handle_user_exception(error)))
        finally:
            visit.seal()
        self._dress(app, session, response)

    def _dress(self, app: Flask, session: GuardedSession, response: Response) -> None:
        flows = session.visit.flows
        flows.is_used |= session.accessed
        if response.is_streamed and not response.direct_passthrough:
            flows.begin_body(may_look=not http.is_public(response.headers))
            if flows.is_used and self._check_interval is not None:
                pieces = cast(Iterable[bytes], response.response)
                response.response = streaming.looked_after(pieces, session.visit, self._check_interval)
        if flows.is_used:
            expires = self.get_expiration_time(app, session) if flows.hands_out_token else None
            response.headers[:] = flows.private(response.headers, expires)
            if flows.hands_out_token and self._sets_secure_cookie and _is_plain(request):
                http.warn_of_lost_cookie()

    # What other extensions ask of an interface. The settings SESSION_COOKIE_* are those of Flask's own cookie.

    def get_cookie_name(self, app: Flask) -> str:
        """The name of the cookie that carries the token."""
        return self.cookie.name

    def get_cookie_domain(self, app: Flask) -> str | None:
        """The domain below which all hosts get the cookie; None for this host only."""
        return self.cookie.domain

    def get_cookie_path(self, app: Flask) -> str:
        """The path below which the cookie is sent."""
        return self.cookie.path

    def get_cookie_httponly(self, app: Flask) -> bool:
        """Always True."""
        return True

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the cookie is sent over HTTPS only."""
        return self.cookie.secure

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """Which requests from other sites carry the cookie."""
        return self.cookie.samesite

    def get_cookie_partitioned(self, app: Flask) -> bool:
        """Whether browsers keep one cookie for each site that embeds this one."""
        return self.cookie.partitioned


def others_place(app: Flask) -> tuple[str, str]:
    """Give what is wrong, and what to do, where another interface than ours keeps the sessions of `app`."""
    kind = type(app.session_interface)
    message = (
        f"app.session_interface is {kind.__module__}.{kind.__qualname__}, so sessionguard does not keep flask.session"
    )
    return message, "take out what sets it after the extension is bound, such as Session(app) of Flask-Session"


def _flask_context() -> RequestContext:
    # Itself, not by the proxies of Flask: each use of those costs as much as all else that is done at the place.
    return cast("LocalProxy[RequestContext]", request_ctx)._get_current_object()


def _is_plain(request: Request) -> bool:
    return http.is_plain(request.scheme, request.headers.get)


def with_safe_headers(inner: WSGIApplication, interface: GuardedSessionInterface) -> WSGIApplication:
    """Give `inner` with the headers of the session on responses that Flask sends without saving the session.

    It does so when a function registered with `after_request` fails: the error page may show who is logged in.
    """

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            session = interface.opened_in(environ)
            if session is not None and not session.visit.flows.is_sealed:
                session.visit.seal()
                session.visit.flows.is_used |= session.accessed
                headers = session.visit.private(headers)
            return start_response(status, headers, *exc_info)

        return inner(environ, start)

    return guarded
