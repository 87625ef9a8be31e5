"""Speaks ASGI to an application without any server: one request or WebSocket at a time, every message seen."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from attrs import Factory, define

COOKIE = "__Host-sg"


@define
class Reply:
    """What an application sent for one request."""

    messages: list[dict[str, Any]] = Factory(list)

    @property
    def status(self) -> int:
        """The status."""
        (start,) = [m for m in self.messages if m["type"] == "http.response.start"]
        return int(start["status"])

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers, names as they were sent."""
        (start,) = [m for m in self.messages if m["type"] == "http.response.start"]
        return [(name.decode(), value.decode()) for name, value in start["headers"]]

    def header(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key == name]

    @property
    def text(self) -> str:
        """The body."""
        return b"".join(m.get("body", b"") for m in self.messages if m["type"] == "http.response.body").decode()

    @property
    def is_private(self) -> bool:
        """Whether no shared cache may keep it, and a private one only per cookie."""
        return [self.header("vary"), self.header("cache-control")] == [["Cookie"], ["private, no-store"]]

    @property
    def token(self) -> str | None:
        """The token that it hands out."""
        cookies = self.header("set-cookie")
        return cookies[0].partition("=")[2].partition(";")[0] if cookies else None


def scope_of(path: str = "/", method: str = "GET", headers: Iterable[tuple[str, str]] = (), **more: Any) -> Any:
    """Give the scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("site", 443),
        **more,
    }


async def call(
    app: Any,
    path: str = "/",
    method: str = "GET",
    *,
    cookie: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    seen: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
    **scope: Any,
) -> Reply:
    """Give what `app` answers to one request; `seen` is told of each message as it is sent."""
    carried = [*headers] if cookie is None else [("Cookie", f"{COOKIE}={cookie}"), *headers]
    reply = Reply()
    incoming: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        reply.messages.append(message)
        if seen is not None:
            await seen(message)
        await asyncio.sleep(0)

    await app(scope_of(path, method, carried, **scope), receive, send)
    return reply


class ManualPace:
    """Time that passes when a test says so, and lets those who wait go on one by one."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Give the seconds that have passed."""
        return self.seconds

    async def wait(self, seconds: float) -> None:
        """Let `seconds` pass."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.seconds + seconds, future))
        await future

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not future.done() for _, future in self._waiting)

    async def advance(self, seconds: float, *, wakes: bool = True) -> None:
        """Let time pass, and whoever it wakes do all that it can do; without `wakes` nobody is woken yet."""
        self.seconds += seconds
        if wakes:
            due = [future for at, future in self._waiting if at <= self.seconds and not future.done()]
            for future in due:
                future.set_result(None)
            await settled()


async def settled() -> None:
    """Let everybody else do all that they can do, where nobody waits for a thread."""
    for _ in range(50):
        await asyncio.sleep(0)


class Socket:
    """The client's side of one WebSocket."""

    def __init__(self, app: Any, path: str = "/", *, cookie: str | None = None, **more: Any) -> None:
        headers = [*more.pop("headers", [])]
        if cookie is not None:
            headers.append(("Cookie", f"{COOKIE}={cookie}"))
        scheme = more.pop("scheme", "wss")
        self._scope = scope_of(path, headers=headers, type="websocket", scheme=scheme, subprotocols=[], **more)
        self._app = app
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self._serving: asyncio.Task[Any]

    async def __aenter__(self) -> "Socket":
        self._incoming.put_nowait({"type": "websocket.connect"})
        self._serving = asyncio.create_task(self._app(self._scope, self._incoming.get, self._send))
        await settled()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        try:
            await asyncio.wait_for(self._serving, 5)
        finally:
            self._serving.cancel()

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def say(self, text: str) -> None:
        """Send a message, and let the application do what it does."""
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})
        await settled()

    @property
    def is_served(self) -> bool:
        """Whether the application is still at it."""
        return not self._serving.done()

    @property
    def heard(self) -> list[str]:
        """The texts that came."""
        return [message["text"] for message in self.sent if message["type"] == "websocket.send"]

    @property
    def closed_with(self) -> int | None:
        """The code it was closed with."""
        codes = [message["code"] for message in self.sent if message["type"] == "websocket.close"]
        assert len(codes) <= 1
        return codes[0] if codes else None
