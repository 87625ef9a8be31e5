"""The session protocol over ASGI: an application with its routes, and the session that `?_sid=` selects anywhere."""

import json
import logging
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Final
from urllib.parse import urlencode

from sessionguard.adapters.asgi.messages import Message, Receive, Scope, Send, header_text, header_values, raw_headers
from sessionguard.adapters.asgi.session import visit_in
from sessionguard.adapters.external import Carried, ExternalFlows, ExternalIds, NamingRequest, Reply, refused
from sessionguard.adapters.external.mounting import (
    CLEAR_SESSION,
    DEBUG_SESSIONS,
    NEW_SESSION,
    external_of,
    required_ids,
    valid_caller,
)
from sessionguard.adapters.external.reading import MAX_BODY_BYTES, is_looked_at
from sessionguard.adapters.visits import AsyncVisit
from sessionguard.adapters.visits.calls import Flow
from sessionguard.core.session import Session
from sessionguard.errors import MisuseError, SessionGuardError

_log = logging.getLogger("sessionguard.adapters")

_NOT_FOUND: Final = Reply(404, {"detail": "Not Found"})
_NOT_ALLOWED: Final = Reply(405, {"detail": "Method Not Allowed"})

Routine = Callable[[ExternalFlows], Flow[Reply]]
"""What a route has a request do."""

ROUTES: Final[dict[str, tuple[str, Routine]]] = {
    NEW_SESSION: ("POST", ExternalFlows.new_session),
    CLEAR_SESSION: ("POST", ExternalFlows.clear_session),
    DEBUG_SESSIONS: ("GET", ExternalFlows.debug_sessions),
}
"""The path of each route, its method, and what it does."""


async def external_session(request: Any) -> Session | None:
    """Give the session that this request names, or None if it names none; the store is asked once a request.

    `request` is that of Starlette or FastAPI, or the ASGI scope, of which the body is not looked at.

    Raises:
        InvalidArgumentError: it names several, or one that cannot be (400).
        ExternalIdError: it may not have the one that it names (403, 404 or 409).
        SessionMismatchError: it belongs to another session or owner (409).
    """
    visit = visit_of(_scope_of(request))
    return await visit.run((await _external(visit, request)).session())


class ExternalRoutes:
    """An application with `POST /new-session`, `POST /clear-session` and `GET /debug-sessions`, to be mounted anywhere.

    It stands inside `SessionGuardMiddleware`, which needs `external=ExternalIds(...)`. The functions in there are given
    the ASGI scope.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise MisuseError("the session protocol speaks HTTP; route nothing else to it")
        await _send(send, await self._reply(scope, receive))

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
        if path not in ROUTES:
            return _NOT_FOUND
        method, routine = ROUTES[path]
        if scope["method"] != method:
            return _NOT_ALLOWED
        return await reply_to(_Bodied(scope, receive), routine, shown=scope)


async def reply_to(request: Any, routine: Routine, *, shown: Any = None) -> Reply:
    """Give what a route answers; `shown` is what the functions of the application are given instead of `request`.

    What is the program's fault is raised on.
    """
    visit = visit_of(_scope_of(request))
    shown = request if shown is None else shown
    if routine is ExternalFlows.debug_sessions:
        may_debug = required_ids(visit.flows.rules).may_debug
        if may_debug is None or await _awaited(may_debug(shown)) is not True:
            return _NOT_FOUND
    try:
        return await visit.run(routine(await _external(visit, request, shown)))
    except SessionGuardError as error:
        reply = refused(error)
        if reply.status == 500:
            raise
        _log.warning("%s %s: %s", reply.status, error.code, error)
        return reply


def visit_of(scope: Scope) -> AsyncVisit:
    """Give what this request does with its session."""
    visit = visit_in(scope)
    if visit is None:
        raise MisuseError("there is no SessionGuardMiddleware around this application; add it")
    return visit


def _scope_of(request: Any) -> Scope:
    scope: Scope = getattr(request, "scope", request)
    return scope


async def _awaited(value: Any) -> Any:
    return await value if isawaitable(value) else value


async def _external(visit: AsyncVisit, request: Any, shown: Any = None) -> ExternalFlows:
    if visit.flows.external is None:
        ids = required_ids(visit.flows.rules)
        naming = await _naming(ids, request, request if shown is None else shown)
        return external_of(visit.flows, lambda: naming)
    return external_of(visit.flows, _never)


def _never() -> NamingRequest:
    raise AssertionError("the request was read before")


async def _naming(ids: ExternalIds, request: Any, shown: Any) -> NamingRequest:
    scope = _scope_of(request)
    return NamingRequest(
        method=scope["method"] if scope["type"] == "http" else "GET",
        carried=await _carried(ids, request),
        cookie_headers=header_values(scope, "cookie"),
        header=lambda name: header_text(scope, name),
        caller=None if ids.caller is None else valid_caller(await _awaited(ids.caller(shown))),
    )


async def _carried(ids: ExternalIds, request: Any) -> Carried:
    scope = _scope_of(request)
    content_type, length = header_text(scope, "content-type") or "", header_text(scope, "content-length") or ""
    size = int(length) if length.isascii() and length.isdigit() else None
    body = await _body_of(request) if is_looked_at(content_type, size) else None
    return Carried(
        query=bytes(scope.get("query_string", b"")),
        headers=header_values(scope, ids.header),
        content_type=content_type,
        body=body or b"",
        is_opaque=body is None and (bool(size) or header_text(scope, "transfer-encoding") is not None),
    )


async def _body_of(request: Any) -> bytes | None:
    """Give the body, which stays readable for the view; None if it cannot be read any more, or not from here."""
    form = getattr(request, "_form", None)
    if form is not None:
        # Starlette has taken it apart, and keeps nothing else of it.
        return urlencode([(name, value) for name, value in form.multi_items() if isinstance(value, str)]).encode()
    read = getattr(request, "body", None)
    if read is None:
        return None
    try:
        body: bytes = await read()
    except RuntimeError:
        # The stream was consumed elsewhere.
        return None
    return body


class _Bodied:
    """A request as `_body_of` wants it, for an application without a framework."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive

    async def body(self) -> bytes:
        body, has_more = b"", True
        while has_more:
            message = await self._receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect" or len(body) > MAX_BODY_BYTES:
                raise RuntimeError("the client has gone, or sends more than it said")
            has_more = message.get("more_body", False)
        return body


async def _send(send: Send, reply: Reply) -> None:
    body, headers = rendered(reply)
    start: Message = {"type": "http.response.start", "status": reply.status, "headers": raw_headers(headers)}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def rendered(reply: Reply) -> tuple[bytes, list[tuple[str, str]]]:
    """Give the body and the headers of `reply`."""
    body = json.dumps(dict(reply.body)).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *reply.headers]
    return body, headers
