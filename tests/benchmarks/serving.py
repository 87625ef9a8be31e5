"""Calls applications as a server would, with the cookie that they gave first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol
from wsgiref.util import setup_testing_defaults

from tests.benchmarks.measuring import Case, seconds

ANSWER = b"Ana"
"""What every view of every application answers, with a session or without one."""


class Client(Protocol):
    """One browser of one application."""

    def get(self, path: str, n: int) -> float:
        """Request `path` so often, one after the other, and give how long that took."""


def compared(
    group: str, clients: Mapping[str, Client], bare: Client, calls: int, aims: Mapping[str, str] | None = None
) -> Iterator[Case]:
    """Give the cases of a request that reads the session and of one that writes it, by each of `clients`."""
    for kind, share in (("read", 1), ("write", 5)):
        path = f"/{kind}"
        for name, client in clients.items():
            name_of_case, ours = f"{kind}, {name}", partial(client.get, path)
            aim = (aims or {}).get(name_of_case, "")
            yield Case(group, name_of_case, ours, partial(bare.get, path), "bare app", calls // share, aim)


class WsgiClient:
    """One browser of a WSGI application."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._cookie = ""
        self._request("/write")

    def get(self, path: str, n: int) -> float:
        """Request `path` so often, and give how long that took."""

        def run() -> None:
            for _ in range(n):
                self._request(path)

        return seconds(run)

    def _request(self, path: str) -> None:
        environ: dict[str, Any] = {"PATH_INFO": path, "HTTP_COOKIE": self._cookie}
        setup_testing_defaults(environ)
        answer = self._app(environ, self._start)
        assert b"".join(answer) == ANSWER
        close = getattr(answer, "close", None)
        if close is not None:
            close()

    def _start(self, status: str, headers: list[tuple[str, str]], *_: object) -> None:
        assert status == "200 OK", status
        for name, value in headers:
            if name == "Set-Cookie":
                self._cookie = value.partition(";")[0]


class AsgiClient:
    """One browser of an ASGI application."""

    def __init__(self, app: Callable[..., Awaitable[None]], loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop
        self._cookie = b""
        loop.run_until_complete(self._request("/write"))

    def get(self, path: str, n: int) -> float:
        """Request `path` so often, one after the other, and give how long that took."""

        async def run() -> None:
            for _ in range(n):
                await self._request(path)

        return seconds(lambda: self._loop.run_until_complete(run()))

    async def _request(self, path: str) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "server": ("localhost", 80),
            "client": ("127.0.0.1", 1), "headers": [(b"host", b"localhost"), (b"cookie", self._cookie)], "state": {},
        }  # fmt: skip
        body: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                body.append(message["body"])
                return
            assert message["status"] == 200, message
            for name, value in message["headers"]:
                if name == b"set-cookie":
                    self._cookie = value.partition(b";")[0]

        await self._app(scope, receive, send)
        assert b"".join(body) == ANSWER
