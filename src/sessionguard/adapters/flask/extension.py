"""The extension: binds a guard to a Flask application, and what views call."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, cast

from flask import Flask, Request, current_app, has_app_context, has_request_context, request
from flask import session as flask_session
from werkzeug.local import LocalProxy

from sessionguard.adapters import settings, streaming
from sessionguard.adapters.external import ExternalIds
from sessionguard.adapters.external.mounting import required_ids
from sessionguard.adapters.flask import answers, commands
from sessionguard.adapters.flask.interface import GuardedSessionInterface, with_safe_headers
from sessionguard.adapters.flask.session import GuardedSession
from sessionguard.adapters.modes import Concurrency, Mode, mode_of
from sessionguard.adapters.visits import Visit, VisitRules, blocking_guard
from sessionguard.core.session import Session
from sessionguard.errors import ConfigurationError, MisuseError
from sessionguard.guard import SessionGuard

_EXTENSION: Final = "sessionguard"
_ROUTES: Final = "sessionguard.external_routes"
"""Under which name an application knows that it has the routes of the session protocol."""
_BESIDE: Final = Mode("merge")


class SessionGuardExtension:
    """Keeps `flask.session` in a guard, and gives views `login`, `logout`, sessions of their own and workspaces.

    Without `guard`, the settings `SESSIONGUARD_*` of the application say which one to open. `concurrency` is
    "merge", "strict" or "serial"; the setting `SESSIONGUARD_CONCURRENCY` goes before it. `external` says how sessions
    that other programs name are treated, as does `SESSIONGUARD_EXTERNAL_IDS`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        guard: SessionGuard | None = None,
        *,
        concurrency: Concurrency = "merge",
        external: ExternalIds | None = None,
    ) -> None:
        if app is not None:
            _check_app(app)
        self._guard = None if guard is None else settings.blocking(guard)
        self._concurrency: Concurrency = concurrency
        self._external = external
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Bind this extension to `app`, once. No store is asked yet.

        Raises:
            ConfigurationError: a setting is wrong; the message names it.
        """
        _check_app(app)
        if _EXTENSION in app.extensions:
            raise MisuseError("sessionguard is already bound to this application; call init_app once")
        config = settings.read(app.config, streaming.KNOWN)
        if self._guard is not None:
            settings.check_unused(config)
        guard = self._guard or settings.guard_of(config, SessionGuard)
        rules = settings.rules_of(config, guard, concurrency=self._concurrency, external=self._external)
        app.extensions[_EXTENSION] = rules
        if _ROUTES in app.extensions:
            required_ids(rules)
        app.session_interface = interface = GuardedSessionInterface(rules, streaming.interval_of(config))
        app.teardown_request(interface.tear_down)
        app.wsgi_app = with_safe_headers(app.wsgi_app, interface)  # type: ignore[assignment, method-assign]
        answers.register(app)
        app.before_request(partial(_enter_mode, app, interface))
        app.cli.add_command(commands.command_of(rules))

    @property
    def guard(self) -> SessionGuard:
        """The guard of the current application, or the one that was passed.

        Raises:
            MisuseError: none was passed, and there is no application here that knows one.
        """
        if self._guard is not None:
            return self._guard
        if not has_app_context():
            raise MisuseError(
                "there is no application here; use the guard inside `with app.app_context():`, or pass one"
            )
        rules: VisitRules | None = current_app.extensions.get(_EXTENSION)
        if rules is None:
            raise MisuseError("this application is not bound to sessionguard; call init_app(app)")
        return blocking_guard(rules)

    @property
    def visit(self) -> Visit:
        """What this request does with its session: the calls below, and more.

        Raises:
            MisuseError: there is no request here.
        """
        return _session().visit

    def login(self, owner: str) -> Session:
        """Give a session of `owner` with a new token, which the response sets as the cookie.

        An anonymous visitor's session becomes the owner's, with its data. Without a session one is opened; a
        session of another owner is ended, and its data is gone from `flask.session`.

        Raises:
            InvalidArgumentError: `owner` is not non-empty text; the store was not asked.
        """
        return self.visit.login(owner)

    def logout(self) -> Session | None:
        """End the visitor's session on the server, then remove the cookie; None if there was no session.

        Raises:
            StoreUnavailableError: the session may still be active; the cookie is left.
        """
        return self.visit.logout()

    def new_session(self, scope: str | None = None, data: Mapping[str, Any] | None = None) -> Session:
        """Give a session for one upload or workflow: always new, the visitor's own, with its own workspace.

        The cookie stays that of the visitor, who is given an anonymous session first if there is none. A later
        request finds it with `own_session(session.id)`.
        """
        return self.visit.new_session(scope, data)

    def own_session(self, session_id: str, scope: str | None = None) -> Session | None:
        """Give the visitor's active session with this id, in `scope` or any; None for every other id, all alike."""
        return self.visit.own_session(session_id, scope)

    def workspace(self, session: Session | None = None) -> AbstractContextManager[Any]:
        """Give the workspace of `session`, or of the visitor's own, which is opened if there is none."""
        if session is not None and not has_request_context():
            return self.guard.workspace(session)
        return self.visit.workspace(session)


def require_external_ids(app: Flask) -> None:
    """Have `app`, which has the routes of the session protocol, say what external ids can do: now, or in `init_app`.

    Raises:
        MisuseError: it is bound to sessionguard, and has said nothing.
    """
    app.extensions[_ROUTES] = True
    rules: VisitRules | None = app.extensions.get(_EXTENSION)
    if rules is not None:
        required_ids(rules)


def _check_app(app: object) -> None:
    if not isinstance(app, Flask):
        raise ConfigurationError(
            "app",
            type(app).__name__,
            "the Flask application comes first: SessionGuardExtension(app, guard); without one yet, give guard=guard",
        )


def _session() -> GuardedSession:
    if not has_request_context():
        raise MisuseError("there is no request here; in a background job use the guard itself")
    session = cast("LocalProxy[Any]", flask_session)._get_current_object()
    if not isinstance(session, GuardedSession):
        raise MisuseError("flask.session is not sessionguard's; call init_app, and leave app.session_interface alone")
    return session


def _enter_mode(app: Flask, interface: GuardedSessionInterface) -> None:
    """Go on as the view of this request is marked, and in serial mode take the session's lock before it runs."""
    # Each use of a proxy costs as much as all the rest here.
    asked: Request = cast("LocalProxy[Request]", request)._get_current_object()
    session = interface.opened_in(asked.environ)
    if session is None:
        interface.tell_of_another(app)
        return
    endpoint = asked.endpoint or ""
    view = app.view_functions.get(endpoint)
    if view is None or endpoint.rpartition(".")[2] == "static":
        # No view of the application runs; what its hooks and error pages write is stored.
        mode = _BESIDE if interface.rules.mode.takes_turns else interface.rules.mode
    else:
        mode = _marked(view, asked.method, interface.rules.mode)
    visit = session.visit
    if mode is not visit.flows.mode:
        visit.enter_mode(mode)
    if mode.takes_turns:
        visit.session()


def _marked(view: Callable[..., Any], method: str, default: Mode) -> Mode:
    """Give the mode that a view is marked with: a function, a class of views, or the method of one that answers."""
    mode = mode_of(view, default)
    view_class = getattr(view, "view_class", None)
    if view_class is None:
        return mode
    answering = getattr(view_class, method.lower(), None)
    if answering is None and method == "HEAD":
        answering = getattr(view_class, "get", None)
    return mode_of(answering, mode_of(view_class, mode))
