"""The application over ASGI, without a framework, with a guard that is awaited."""

import asyncio
import json
from collections.abc import Coroutine, Iterable
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import parse_qs

from sessionguard import AsyncSessionGuard
from sessionguard.adapters.asgi import ExternalRoutes, SessionGuardMiddleware, external_session
from sessionguard.adapters.asgi.messages import header_text
from sessionguard.errors import ConfigurationError
from tests.adapters.asgi.calling import call
from tests.adapters.external.stage import Answer, Backstage

R = TypeVar("R")

ROUTES = ExternalRoutes()


class AsgiApp:
    """Sends requests to it."""

    @staticmethod
    def header(request: Any, name: str) -> str | None:
        """Give a header of the scope."""
        return header_text(getattr(request, "scope", request), name)

    def __init__(self, back: Backstage) -> None:
        self._back = back
        self._loop = ServerLoop()
        self._guard = guard = AsyncSessionGuard(
            back.store, back.workspaces, back.policy, clock=back.clock, sweep_interval=None
        )
        guard.subscribe(back.events.append)
        self.app = SessionGuardMiddleware(self._serve, guard, external=back.ids)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        visit = scope["state"]["sessionguard"]
        if scope["path"] == "/login":
            await visit.login(query["owner"])
            await respond(send, "")
        elif scope["path"] == "/logout":
            await visit.logout()
            await respond(send, "")
        elif scope["path"] == "/work":
            request = Request(scope, receive)
            session = await external_session(request)
            assert await external_session(request) is session
            visitor = await visit.session()
            await respond(send, json.dumps(self._back.work(session, visitor, query.get("document"))))
        elif scope["path"] == "/plain":
            await respond(send, "plain")
        else:
            await ROUTES(scope, receive, send)

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        return self._loop.run(answer_of(self.app, method, url, headers, body))

    def close(self) -> None:
        self._loop.run(self._guard.close())
        self._loop.close()


async def answer_of(app: Any, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
    """Give what `app` answers to one request; an error that it lets out is 500, as from a server."""
    path, _, query = url.partition("?")
    try:
        reply = await call(app, path, method, headers=list(headers), body=body, query_string=query.encode())
    except ConfigurationError:
        return Answer(500, (), "")
    return Answer(reply.status, tuple(reply.headers), reply.text)


class ServerLoop:
    """The one event loop of a server, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Give what `work` gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    def close(self) -> None:
        """Stop it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


class Request:
    """As much of a request as a framework would give."""

    def __init__(self, scope: Any, receive: Any) -> None:
        self.scope = scope
        self._receive = receive

    async def body(self) -> bytes:
        """Give the body."""
        message = await self._receive()
        body: bytes = message.get("body", b"")
        return body


async def respond(send: Any, text: str) -> None:
    """Send `text`."""
    length = (b"content-length", str(len(text)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": text.encode()})
