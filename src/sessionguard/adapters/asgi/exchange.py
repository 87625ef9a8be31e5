"""One HTTP request and its response: stored before the response begins, private if it depends on the session."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

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
    raw_headers,
    response_of,
    text_headers,
)
from sessionguard.adapters.asgi.storing import is_stored
from sessionguard.adapters.visits import AsyncVisit
from sessionguard.errors import SessionGuardError

_log = logging.getLogger("sessionguard.adapters")

_BODY: Final = frozenset({"http.response.body", "http.response.zerocopysend", "http.response.pathsend"})
"""What carries a body or a part of it; the last part has no `more_body`."""
_WITHOUT_BODY: Final = frozenset({204, 304})

EXCHANGE: Final = "sessionguard.exchange"
"""Under which name the scope has the exchange of its request."""

Respond = Callable[[Scope, SessionGuardError], Awaitable[App | None]]
"""Gives the application's own response to an error of ours, or None."""


class HttpExchange:
    """What an application receives and sends for one request."""

    def __init__(
        self,
        visit: AsyncVisit,
        scope: Scope,
        receive: Receive,
        send: Send,
        begin: Begin,
        respond: Respond | None,
    ) -> None:
        self._visit = visit
        self._scope = scope
        self._receive = receive
        self._send = send
        self._begin = begin
        self._respond = respond
        self.is_answered = False
        """Whether the response has begun."""
        self._entry: context.Entry
        self._is_replaced = False
        self._lifeline = Lifeline()

    async def serve(self, app: App, entry: context.Entry) -> None:
        """Have `app` answer, for as long as its session goes on.

        `entry` is the request as what is current, which it is until its response is sent whole.
        """
        self._entry = entry
        self._scope[EXCHANGE] = self
        with self._lifeline:
            await app(self._scope, self._receive, self.send)

    async def send(self, message: Message) -> None:
        """Send `message` on; the first one stores what the request wrote, or becomes the answer to why it was not."""
        if self._is_replaced:
            # The rest of a response that never began.
            return
        if message["type"] != "http.response.start" or self.is_answered:
            await self._send_on(message)
            return
        # Past the application: its own answer would promise what has not happened.
        self._is_replaced = not await is_stored(self._visit, self.answer)
        if self._is_replaced:
            return
        self.is_answered = True
        headers = text_headers(message)
        await self._send(self._dressed(message, headers))
        if _is_streamed(message["status"], headers):
            # At once: the first part may be an event that comes when the session has long ended.
            self._begin(self._lifeline)

    async def _send_on(self, message: Message) -> None:
        if await self._lifeline.is_cut():
            # Nor the last part, after which a response that was broken off would look whole.
            return
        await self._send(message)
        if message["type"] not in _BODY:
            return
        if not message.get("more_body", False):
            # What is read from now on, by a background task, reaches no cache any more.
            self._visit.flows.is_barred = False
            self._lifeline.stop()
            context.finish(self._entry)
        elif self._lifeline.watch is None:
            self._begin(self._lifeline)

    async def answer(self, error: SessionGuardError) -> bool:
        """Answer `error` by the table, unless the response has begun or it is the program's fault; tells if it did."""
        told = http.answer_to(error)
        if self.is_answered or (told.status == 500 and self._respond is None):
            return False
        own = None if self._respond is None else await self._respond(self._scope, error)
        if own is None and told.status == 500:
            return False
        self.is_answered = True
        self._visit.flows.is_used = True
        if own is not None:
            await own(self._scope, self._receive, self._send_own)
            return True
        # The client learns the status; the rest is for the log. No error of ours holds a token or a raw line break.
        _log.warning("%s %s: %s", told.status, error.code, error)
        headers, body = response_of(told)
        start = {"type": "http.response.start", "status": told.status, "headers": raw_headers(headers)}
        await self._send_own(start)
        await self._send_own({"type": "http.response.body", "body": body})
        return True

    def as_page(self, start: Message) -> Message:
        """Give the start of a response that somebody around sends instead of the application."""
        if self.is_answered or not self._visit.flows.is_used:
            return start
        self.is_answered = True
        return self._dressed(start, text_headers(start))

    async def _send_own(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = self._dressed(message, text_headers(message))
        await self._send(message)

    def _dressed(self, start: Message, headers: list[http.Header]) -> Message:
        """Give `start`, whose headers are `headers`, with those of the session if the response depends on it."""
        flows = self._visit.flows
        flows.begin_body(may_look=_is_streamed(start["status"], headers) and not http.is_public(headers))
        if flows.is_barred:
            return start
        if flows.hands_out_token and _is_secure_cookie(flows.rules.transport) and self._is_plain():
            http.warn_of_lost_cookie()
        return {**start, "headers": raw_headers(flows.private(headers, None))}

    def _is_plain(self) -> bool:
        return http.is_plain(self._scope.get("scheme", "http"), partial(header_text, self._scope))


def _is_streamed(status: int, headers: list[http.Header]) -> bool:
    if status in _WITHOUT_BODY:
        return False
    return "content-length" not in [name.lower() for name, _ in headers]


def _is_secure_cookie(transport: http.Transport) -> bool:
    return isinstance(transport, http.CookieSettings) and transport.secure
