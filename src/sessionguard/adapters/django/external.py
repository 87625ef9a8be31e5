"""The session protocol in Django: `urlpatterns` with its routes, and the session that `?_sid=` selects on any other.

    path("api/", include("sessionguard.adapters.django.external"))

Needed are `sessionguard.adapters.django.middleware.SessionGuardMiddleware` and the setting `SESSIONGUARD_EXTERNAL_IDS`.
"""

import json
import logging
from typing import Final

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from sessionguard.adapters.django.raw import header_values
from sessionguard.adapters.django.session import VisitedSession
from sessionguard.adapters.external import Carried, ExternalFlows, ExternalIds, NamingRequest, Reply, refused
from sessionguard.adapters.external.mounting import (
    CLEAR_SESSION,
    DEBUG_SESSIONS,
    NEW_SESSION,
    external_of,
    required_ids,
    valid_caller,
)
from sessionguard.adapters.external.reading import is_looked_at
from sessionguard.adapters.visits.calls import Flow
from sessionguard.core.session import Session
from sessionguard.errors import MisuseError, SessionGuardError

_log = logging.getLogger("sessionguard.adapters")


def external_session(request: HttpRequest) -> Session | None:
    """Give the session that this request names, or None if it names none; the store is asked once a request.

    Raises:
        InvalidArgumentError: it names several, or one that cannot be (400).
        ExternalIdError: it may not have the one that it names (403, 404 or 409).
        SessionMismatchError: it belongs to another session or owner (409).
    """
    return _visited(request).visit.run(_external(request).session())


async def aexternal_session(request: HttpRequest) -> Session | None:
    """See `external_session`; for async views."""
    return await _visited(request).awaited.run(_external(request).session())


# Programs that open sessions have no CSRF cookie; pages of other sites are told by what browsers say of them.


@csrf_exempt
@require_POST
def new_session(request: HttpRequest) -> HttpResponse:
    """Open a session, under the name that the request gives or without one."""
    return _answered(request, _external(request).new_session())


@csrf_exempt
@require_POST
def clear_session(request: HttpRequest) -> HttpResponse:
    """End the session that the request names, with its files, and no other."""
    return _answered(request, _external(request).clear_session())


@require_GET
def debug_sessions(request: HttpRequest) -> HttpResponse:
    """Show the current session, how far its work is, and all sessions of the caller; 404 unless that is allowed."""
    may_debug = required_ids(_visited(request).visit.flows.rules).may_debug
    if may_debug is None or may_debug(request) is not True:
        raise Http404
    return _answered(request, _external(request).debug_sessions())


urlpatterns: Final = [
    path(NEW_SESSION.removeprefix("/"), new_session, name="new_session"),
    path(CLEAR_SESSION.removeprefix("/"), clear_session, name="clear_session"),
    path(DEBUG_SESSIONS.removeprefix("/"), debug_sessions, name="debug_sessions"),
]


def _answered(request: HttpRequest, flow: Flow[Reply]) -> HttpResponse:
    try:
        reply = _visited(request).visit.run(flow)
    except SessionGuardError as error:
        reply = refused(error)
        if reply.status == 500:
            raise
        _log.warning("%s %s: %s", reply.status, error.code, error)
    return HttpResponse(
        json.dumps(dict(reply.body)), "application/json", status=reply.status, headers=dict(reply.headers)
    )


def _visited(request: HttpRequest) -> VisitedSession:
    session = getattr(request, "session", None)
    if not isinstance(session, VisitedSession):
        raise MisuseError(
            "external ids need sessionguard.adapters.django.middleware.SessionGuardMiddleware in MIDDLEWARE, in the "
            "place of Django's session middleware"
        )
    return session


def _external(request: HttpRequest) -> ExternalFlows:
    flows = _visited(request).visit.flows
    return external_of(flows, lambda: _naming(required_ids(flows.rules), request))


def _naming(ids: ExternalIds, request: HttpRequest) -> NamingRequest:
    return NamingRequest(
        method=request.method or "",
        carried=_carried(ids, request),
        cookie_headers=header_values(request, "Cookie"),
        header=request.headers.get,
        caller=None if ids.caller is None else valid_caller(ids.caller(request)),
    )


def _carried(ids: ExternalIds, request: HttpRequest) -> Carried:
    content_type, length = request.META.get("CONTENT_TYPE") or "", request.META.get("CONTENT_LENGTH") or ""
    size = int(length) if length.isascii() and length.isdigit() else None
    body = _body_of(request) if is_looked_at(content_type, size) else None
    return Carried(
        query=request.META.get("QUERY_STRING", "").encode("latin-1", "replace"),
        headers=header_values(request, ids.header),
        content_type=content_type,
        body=body or b"",
        is_opaque=body is None and (bool(size) or "HTTP_TRANSFER_ENCODING" in request.META),
    )


def _body_of(request: HttpRequest) -> bytes | None:
    """Give the body, which stays readable for the view; None if it cannot be read any more."""
    try:
        return request.body
    except (RequestDataTooBig, RawPostDataException):
        # It is larger than the settings allow, or a view has read the stream.
        return None
