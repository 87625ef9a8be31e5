"""The session protocol in Flask: a blueprint with its routes, and the session that `?_sid=` selects on any other."""

import json
from typing import Any, cast
from urllib.parse import urlencode

from flask import Blueprint, Flask, Request, Response, abort, current_app, request
from flask import session as flask_session
from werkzeug.local import LocalProxy

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
from sessionguard.adapters.flask.extension import require_external_ids
from sessionguard.adapters.flask.session import GuardedSession
from sessionguard.adapters.visits import Visit
from sessionguard.adapters.visits.calls import Flow
from sessionguard.core.session import Session
from sessionguard.errors import MisuseError, SessionGuardError


def external_routes(name: str = "sessionguard") -> Blueprint:
    """Give a blueprint with `POST /new-session`, `POST /clear-session` and `GET /debug-sessions`, to be registered.

    The application needs `external=ExternalIds(...)`, or refuses this blueprint with `MisuseError`; whether there is a
    debug page is for that to say.
    """
    blueprint = Blueprint(name, __name__)
    blueprint.add_url_rule(NEW_SESSION, "new_session", _new_session, methods=["POST"])
    blueprint.add_url_rule(CLEAR_SESSION, "clear_session", _clear_session, methods=["POST"])
    blueprint.add_url_rule(DEBUG_SESSIONS, "debug_sessions", _debug_sessions, methods=["GET"])
    blueprint.record(lambda state: require_external_ids(cast("Flask", state.app)))
    return blueprint


def external_session() -> Session | None:
    """Give the session that this request names, or None if it names none; the store is asked once a request.

    Raises:
        InvalidArgumentError: it names several, or one that cannot be (400).
        ExternalIdError: it may not have the one that it names (403, 404 or 409).
        SessionMismatchError: it belongs to another session or owner (409).
    """
    visit = _visit()
    return visit.run(_external(visit).session())


def _new_session() -> Response:
    visit = _visit()
    return _answered(visit, _external(visit).new_session())


def _clear_session() -> Response:
    visit = _visit()
    return _answered(visit, _external(visit).clear_session())


def _debug_sessions() -> Response:
    visit = _visit()
    may_debug = required_ids(visit.flows.rules).may_debug
    if may_debug is None or may_debug(request) is not True:
        abort(404)
    return _answered(visit, _external(visit).debug_sessions())


def _answered(visit: Visit, flow: Flow[Reply]) -> Response:
    try:
        reply = visit.run(flow)
    except SessionGuardError as error:
        reply = refused(error)
        if reply.status == 500:
            raise
        current_app.logger.warning("%s %s: %s", reply.status, error.code, error)
    return current_app.response_class(
        json.dumps(dict(reply.body)), reply.status, list(reply.headers), mimetype="application/json"
    )


def _visit() -> Visit:
    session = cast("LocalProxy[Any]", flask_session)._get_current_object()
    if not isinstance(session, GuardedSession):
        raise MisuseError("flask.session is not sessionguard's; call init_app, and leave app.session_interface alone")
    return session.visit


def _external(visit: Visit) -> ExternalFlows:
    ids = required_ids(visit.flows.rules)
    return external_of(visit.flows, lambda: _naming(ids, cast("LocalProxy[Request]", request)._get_current_object()))


def _naming(ids: ExternalIds, request: Request) -> NamingRequest:
    headers = request.headers
    cookies = request.environ.get("HTTP_COOKIE")
    return NamingRequest(
        method=request.method,
        carried=_carried(ids, request),
        cookie_headers=() if cookies is None else (cookies.encode("latin-1"),),
        header=headers.get,
        caller=None if ids.caller is None else valid_caller(ids.caller(request)),
    )


def _carried(ids: ExternalIds, request: Request) -> Carried:
    content_type, length = request.content_type or "", request.content_length
    is_read = is_looked_at(content_type, length)
    if not is_read:
        body = b""
    elif "form" in vars(request):
        # The application took the form before us, and the stream with it.
        body = urlencode(list(request.form.items(multi=True))).encode()
    else:
        body = request.get_data(cache=True)
    return Carried(
        query=request.query_string,
        headers=tuple(value.encode("latin-1") for value in request.headers.getlist(ids.header)),
        content_type=content_type,
        body=body,
        is_opaque=not is_read and (bool(length) or "Transfer-Encoding" in request.headers),
    )
