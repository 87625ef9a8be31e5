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
