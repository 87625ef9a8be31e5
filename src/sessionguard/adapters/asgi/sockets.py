"""One WebSocket: resolved at the handshake, refused to other sites, closed when its session has ended."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from sessionguard import context
from sessionguard.adapters import http
from sessionguard.adapters.asgi.lifeline import Begin, Lifeline
from sessionguard.adapters.asgi.messages import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    header_text,
    header_values,
    raw_headers,
    response_of,
    text_headers,
)
from sessionguard.adapters.asgi.storing import is_stored
from sessionguard.adapters.http.origins import is_of_host, valid_origin
from sessionguard.adapters.visits import AsyncVisit
from sessionguard.errors import ConfigurationError, SessionGuardError

_log = logging.getLogger("sessionguard.adapters")

SESSION_ENDED: Final = 4401
"""With what code a WebSocket is closed whose session has ended; of the range for applications, after HTTP's 401."""
_TRY_AGAIN_LATER: Final = 1013
_INTERNAL_ERROR: Final = 1011
_POLICY_VIOLATION: Final = 1008
_REASON: Final = "session ended"
_SETTING: Final = "SESSIONGUARD_ALLOWED_ORIGINS"


def is_own_origin(scope: Scope, allowed: frozenset[str]) -> bool:
    """Tell whether a handshake comes from a page of this host or of one of the `allowed` origins.

    Browsers send cookies with the handshakes of every site, and let no site read or refuse for us. A client that sends
    no Origin is no browser, and sends no cookie that somebody else made it send.
    """
    origins = header_values(scope, "origin")
    if not origins:
        return True
    if len(origins) > 1:
        return False
    origin = origins[0].decode("latin-1")
    if origin in allowed or "*" in allowed:
        return True
    if scope.get("scheme") == "wss" and not origin.startswith("https:"):
        # A page that came in the clear may be anybody's.
        return False
    return is_of_host(origin, header_text(scope, "host"))


def valid_origins(values: object) -> frozenset[str]:
    """Give the origins, each as browsers write it.

    Raises:
        ConfigurationError: one is not as browsers write it, and would never be the origin of a page.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigurationError(_SETTING, values, 'give a list, such as ["https://app.example.org"]')
    origins = frozenset(values)
    for origin in origins:
        if origin != "*" and (not isinstance(origin, str) or not valid_origin(origin)):
            remedy = (
                'give scheme, host and port as browsers do, such as "https://app.example.org"; "*" allows every site'
            )
            raise ConfigurationError(_SETTING, origin, remedy)
    return origins


async def refuse(receive: Receive, send: Send) -> None:
    """Refuse a handshake: servers answer 403."""
    await receive()
    await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


class SocketExchange:
    """What an application receives and sends over one WebSocket."""

    def __init__(self, visit: AsyncVisit, scope: Scope, receive: Receive, send: Send, begin: Begin) -> None:
        self._visit = visit
        self._scope = scope
        self._receive = receive
        self._send = send
        self._begin = begin
        self._incoming: asyncio.Future[Any] | None = None
        self._over: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._is_accepted = False
        self._is_closed = False
        """By the application, or in answer to an error."""
        self._lifeline = Lifeline(self.end)
        self._entry: context.Entry

    async def serve(self, app: App, entry: context.Entry) -> None:
        """Have `app` serve it, for as long as its session goes on; `entry` is the connection as what is current."""
        self._entry = entry
        try:
            with self._lifeline:
                await app(self._scope, self.receive, self.send)
        finally:
            if self._incoming is not None:
                self._incoming.cancel()

    async def receive(self) -> Message:
        """Give the next message of the client, or that it has gone because its session has ended."""
        watch = self._lifeline.watch
        if watch is None:
            return await self._receive()
        message = await self._next()
        if message["type"] == "websocket.receive":
            watch.is_busy = True
            if watch.is_due:
                # Stopped for longer than an interval: nothing is done for a session that ended meanwhile.
                await watch.look()
                if watch.is_ended:
                    await self.end()
                    return _gone()
        return message

    async def _next(self) -> Message:
        if self._incoming is None:
            # Kept where the application stops waiting, for what has come by then would be lost with it.
            self._incoming = asyncio.ensure_future(self._receive())
        await asyncio.wait({self._incoming, self._over}, return_when=asyncio.FIRST_COMPLETED)
        if self._over.done():
            return _gone()
        incoming, self._incoming = self._incoming, None
        message: Message = incoming.result()
        return message

    async def send(self, message: Message) -> None:
        """Send `message` on; what answers the handshake first stores what was written."""
        if self._over.done():
            # What the specification has servers raise for a client that has gone.
            raise ConnectionResetError(_REASON)
        if self._is_closed:
            return
        kind = message["type"]
        if kind in ("websocket.accept", "websocket.http.response.start") and not self._is_accepted:
            if not await is_stored(self._visit, self.answer):
                return
            message = {**message, "headers": raw_headers(self._visit.private(text_headers(message)))}
        if kind == "websocket.accept":
            self._is_accepted = True
            self._begin(self._lifeline)
        elif kind == "websocket.close":
            self._is_closed = True
        await self._send(message)

    async def answer(self, error: SessionGuardError) -> bool:
        """Tell the client of `error`, unless it is the program's fault; tells if it did."""
        told = http.answer_to(error)
        if told.status == 500 or self._is_closed or self._over.done():
            return False
        _log.warning("%s %s: %s", told.status, error.code, error)
        self._is_closed = True
        if self._is_accepted or "websocket.http.response" not in self._scope.get("extensions", {}):
            code = _TRY_AGAIN_LATER if told.status == 503 else _INTERNAL_ERROR
            await self._send({"type": "websocket.close", "code": code, "reason": error.code})
            return True
        headers, body = response_of(told)
        self._visit.flows.is_used = True
        start: dict[str, Any] = {"status": told.status, "headers": raw_headers(self._visit.private(headers))}
        await self._send({"type": "websocket.http.response.start", **start})
        await self._send({"type": "websocket.http.response.body", "body": body})
        return True

    async def end(self) -> None:
        """Close it, for its session has ended, and let the application know."""
        if not self._over.done() and not self._is_closed:
            self._over.set_result(None)
            context.finish(self._entry)
            # The client may have gone in the same moment.
            with suppress(OSError):
                await self._send({"type": "websocket.close", "code": SESSION_ENDED, "reason": _REASON})


def _gone() -> Message:
    return {"type": "websocket.disconnect", "code": SESSION_ENDED, "reason": _REASON}
