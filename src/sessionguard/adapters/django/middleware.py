"""`SessionGuardMiddleware`, in the place of Django's session middleware: a cookie of its own, and safe headers.

It is blocking under WSGI and async under ASGI. Beyond what the engine alone does, it reads the cookie from the raw
header by its exact name, sets it only with a new token, keeps responses out of caches, answers outages with 503, and
lets views choose how requests of one session go side by side.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.exception import response_for_exception
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase

from sessionguard import context
from sessionguard.adapters import http
from sessionguard.adapters.django import cookies, guards, hiding
from sessionguard.adapters.django.answers import answer
from sessionguard.adapters.django.expiry import EXPIRY, cookie_expires
from sessionguard.adapters.django.raw import header_values
from sessionguard.adapters.django.session import ExpiringFlows, VisitedSession
from sessionguard.adapters.django.streams import cut_off
from sessionguard.adapters.modes import Mode, mode_of
from sessionguard.adapters.visits import Visit
from sessionguard.errors import SessionGuardError

Response = TypeVar("Response", bound=HttpResponseBase)


class SessionGuardMiddleware(SessionMiddleware):
    """Gives each request its `session`, as Django's users know it, and its `sessionguard`, the visit with its calls.

    In async views `request.sessionguard` is the one whose calls are awaited.
    """

    # It is one of Django's session middlewares because the checks of the admin, and of others, look for one; nothing of
    # theirs is called.

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        # Here as well as in the app, which is not needed for the middleware alone.
        hiding.install()
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        # The names under which Django looks for what it calls.
        self.process_view: Callable[..., Any] = self._enter_mode
        self.process_exception = _answered_error
        if self._is_async:
            markcoroutinefunction(self)
            self.process_view = self._enter_mode_async

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._answered_async(request)
        with _visited(request) as session:
            response: HttpResponseBase | None = None
            try:
                response = self._get_response(request)
                if _is_to_be_kept(session, response):
                    session.fill()
                    session.visit.run(session.visit.flows.save())
            except Exception as error:
                response = _instead(request, response, error)
            finally:
                session.visit.seal()
            return _dressed(request, session, _told(session, response))

    async def _answered_async(self, request: HttpRequest) -> HttpResponseBase:
        with _visited(request) as session:
            response: HttpResponseBase | None = None
            try:
                response = await self._get_response(request)
                if _is_to_be_kept(session, response):
                    await session.awaited.session()
                    session.fill()
                    await session.awaited.run(session.visit.flows.save())
            except Exception as error:
                response = _instead(request, response, error)
            finally:
                await session.awaited.seal()
            return _dressed(request, session, _told(session, response))

    # Called by Django

    def _enter_mode(self, request: HttpRequest, view: Any, *_: Any) -> HttpResponseBase | None:
        session = getattr(request, "session", None)
        if not isinstance(session, VisitedSession):
            return None
        mode = _mode_of(request, view, session)
        try:
            if mode is not session.visit.flows.mode:
                session.visit.enter_mode(mode)
            if mode.takes_turns:
                # Who did not get a turn does not run without one.
                session.found()
            elif session.is_awaited:
                session.visit.run(session.visit.flows.resolve())
        except SessionGuardError as error:
            return _answer_or_raise(error)
        return None

    async def _enter_mode_async(self, request: HttpRequest, view: Any, *_: Any) -> HttpResponseBase | None:
        session = getattr(request, "session", None)
        if not isinstance(session, VisitedSession):
            return None
        mode = _mode_of(request, view, session)
        try:
            if mode is not session.visit.flows.mode:
                await session.awaited.enter_mode(mode)
            if mode.takes_turns:
                await session.awaited.session()
            elif session.is_awaited:
                await session.awaited.run(session.visit.flows.resolve())
        except SessionGuardError as error:
            return _answer_or_raise(error)
        return None


@contextmanager
def _visited(request: HttpRequest) -> Iterator[VisitedSession]:
    """Give the request its session and its visit."""
    rules = guards.serving().rules
    presented = header_values(request, rules.transport.request_header)
    visit = Visit(rules, presented, flows=ExpiringFlows(rules, presented))
    session = VisitedSession(visit)
    request.session = session
    request.sessionguard = visit  # type: ignore[attr-defined]
    entry = context.enter(session.found, visit.flows.resolved)
    try:
        yield session
    finally:
        context.leave(entry)


def _mode_of(request: HttpRequest, view: Any, session: VisitedSession) -> Mode:
    if iscoroutinefunction(view):
        # Found before it begins, for in the event loop nothing may wait: not even `current_session()`.
        session.is_awaited = True
        request.sessionguard = session.awaited  # type: ignore[attr-defined]
    mode = mode_of(view, session.visit.flows.rules.mode)
    return mode_of(getattr(view, "view_class", view), mode)


def _is_to_be_kept(session: VisitedSession, response: HttpResponseBase) -> bool:
    # As Django has it: what a request wrote that failed is not stored.
    if response.status_code >= 500:
        return False
    flows = session.visit.flows
    is_extended = settings.SESSION_SAVE_EVERY_REQUEST and not flows.mode.is_read_only
    return flows.has_changes or (is_extended and (session.fields.is_due or not flows.is_resolved))


def _answered_error(request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
    """Answer errors of ours that a view let through; the application's own middleware was asked before."""
    told = answer(exception) if isinstance(exception, SessionGuardError) else None
    session = getattr(request, "session", None)
    if told is not None and isinstance(session, VisitedSession):
        # The view has not come to its end: as with any other exception, what it wrote is not stored.
        session.fields.discard()
    return told


def _told(session: VisitedSession, response: HttpResponseBase) -> HttpResponseBase:
    """Give the answer to an outage that another middleware met, and that Django made a page of."""
    if session.failure is None or response.status_code != 500:
        return response
    told = answer(session.failure)
    return response if told is None else _in_place_of(response, told)


def _instead(request: HttpRequest, response: HttpResponseBase | None, error: Exception) -> HttpResponseBase:
    """Give what is sent instead of `response`, which would promise what has not happened."""
    told = answer(error) if isinstance(error, SessionGuardError) else None
    if response is None:
        # Not even Django made a page of it: its own error page looks at the session, too.
        if told is None:
            raise error
        return told
    return _in_place_of(response, response_for_exception(request, error) if told is None else told)


def _in_place_of(response: HttpResponseBase, replacement: Response) -> Response:
    # Whatever the view opened for its response is closed with the one that is sent.
    replacement._resource_closers.extend(response._resource_closers)  # type: ignore[attr-defined]
    return replacement


def _answer_or_raise(error: SessionGuardError) -> HttpResponseBase:
    told = answer(error)
    if told is None:
        raise error
    return told


def _dressed(request: HttpRequest, session: VisitedSession, response: HttpResponseBase) -> HttpResponseBase:
    """Give `response` with the headers that every use of a session demands."""
    flows = session.visit.flows
    if response.streaming and not isinstance(response, FileResponse):
        flows.begin_body(may_look=not http.is_public(response.items()))
        interval = guards.place().check_interval
        if interval is not None and not flows.is_barred:
            cut_off(response, session, interval, is_asgi=isinstance(request, ASGIRequest))
    if not flows.is_used:
        return response
    headers = flows.private(list(response.items()), _cookie_expires(request, session))
    for name, _ in list(response.items()):
        del response[name]
    for name, value in headers:
        if name == "Set-Cookie":
            cookies.put(response, value)
        else:
            response[name] = value
    return response


def _cookie_expires(request: HttpRequest, session: VisitedSession) -> datetime | None:
    """Give until when the browser is to keep the cookie, if one is set; None: as the settings say."""
    flows = session.visit.flows
    stored = flows.known() if flows.hands_out_token else None
    if stored is None:
        return None
    transport = flows.rules.transport
    if getattr(transport, "secure", False) and http.is_plain(request.scheme or "", request.headers.get):
        http.warn_of_lost_cookie()
    expiry = (session.fields if session.accessed else stored.data).get(EXPIRY)
    if expiry is None and getattr(transport, "max_age", None) is not None:
        return None
    return cookie_expires(session, stored, expiry)
