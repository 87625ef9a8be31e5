"""Subject: what a session costs a Starlette request, by sessionguard and by what Starlette's users have otherwise."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware
from starsessions import SessionMiddleware as StarsessionsMiddleware
from starsessions.stores.redis import RedisStore

from sessionguard import AsyncSessionGuard
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.http import CookieSettings
from sessionguard.testing.servers import EngineMissingError, RedisServer
from tests.benchmarks.measuring import Case
from tests.benchmarks.serving import ANSWER, AsgiClient, compared

CALLS = 100


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject; the database is in `folder`."""
    loop = asyncio.new_event_loop()
    with ExitStack() as opened:
        opened.callback(loop.close)
        signed = Middleware(SessionMiddleware, secret_key="only measured")
        clients = {
            "SQLite, sessionguard": AsgiClient(_guarded(opened, loop, f"sqlite:///{folder}/starlette.db"), loop),
            "signed cookie, Starlette": AsgiClient(_app(signed), loop),
        }
        bare = AsgiClient(_app(), loop)
        yield [
            *compared("Starlette request", clients, bare, CALLS),
            *compared("Redis, Starlette request", _on_redis(opened, loop), bare, CALLS),
        ]


def _on_redis(opened: ExitStack, loop: asyncio.AbstractEventLoop) -> dict[str, AsgiClient]:
    try:
        server = opened.enter_context(RedisServer(appendonly="no"))
    except EngineMissingError:
        return {}
    connection = Redis.from_url(server.url)
    opened.callback(lambda: loop.run_until_complete(connection.aclose()))
    store = RedisStore(connection=connection)
    # In a view, `load_session` would do what the second one does.
    peer = _app(
        Middleware(StarsessionsMiddleware, store=store, lifetime=3600, cookie_https_only=False),
        Middleware(SessionAutoloadMiddleware),
    )
    return {
        "sessionguard": AsgiClient(_guarded(opened, loop, server.url), loop),
        "starsessions": AsgiClient(peer, loop),
    }


def _guarded(opened: ExitStack, loop: asyncio.AbstractEventLoop, url: str) -> Starlette:
    guard = AsyncSessionGuard.open(url, sweep_interval=None)
    opened.callback(lambda: loop.run_until_complete(guard.close()))
    return _app(Middleware(SessionGuardMiddleware, guard=guard, transport=CookieSettings(secure=False)))


def _app(*middleware: Any) -> Starlette:
    counter = iter(range(10**9))

    async def read(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.session["name"] if middleware else ANSWER)

    async def write(request: Request) -> PlainTextResponse:
        if middleware:
            request.session["name"] = ANSWER.decode()
            request.session["n"] = next(counter)
        return PlainTextResponse(ANSWER)

    return Starlette(routes=[Route("/read", read), Route("/write", write)], middleware=list(middleware))
