"""Sends requests to applications, and gives as much of the answer as came before it broke off."""

import asyncio
import io
from collections.abc import Iterable
from typing import Any
from wsgiref.handlers import SimpleHandler

from werkzeug.test import EnvironBuilder

from sessionguard.errors import SessionEndedError
from tests.adapters.asgi.calling import call
from tests.adapters.external.stage import HOST, Answer

NOT_ANSWERED = Answer(500, (), "")
"""What a server makes of an error that an application lets out before it has begun its response."""


class PlantedError(Exception):
    """What views of tests fail with."""


def send_wsgi(app: Any, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
    """Give the answer to one request, through the server of the standard library."""
    path, _, query = url.partition("?")
    builder = EnvironBuilder(
        path, method=method, query_string=query, headers=list(headers), data=body or None, base_url="https://x/"
    )
    sent = io.BytesIO()
    environ = builder.get_environ() | {"HTTP_HOST": HOST, "HTTPS": "on"}
    SimpleHandler(builder.input_stream or io.BytesIO(), sent, io.StringIO(), environ).run(app)
    head, _, text = sent.getvalue().partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    found = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(int(status.split()[1]), tuple(found), text.decode())


async def send_asgi(app: Any, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
    """Give the answer to one request."""
    path, _, query = url.partition("?")
    seen: list[dict[str, Any]] = []

    async def note(message: dict[str, Any]) -> None:
        seen.append(message)

    try:
        await call(app, path, method, headers=list(headers), body=body, query_string=query.encode(), seen=note)
    except (PlantedError, SessionEndedError):
        if not seen:
            return NOT_ANSWERED
    start, *pieces = seen
    sent = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return Answer(start["status"], tuple(sent), b"".join(piece.get("body", b"") for piece in pieces).decode())


def read_aside(function: Any) -> Any:
    """Run `function` in the threads of this event loop, without what is current here."""
    return asyncio.get_running_loop().run_in_executor(None, function)
