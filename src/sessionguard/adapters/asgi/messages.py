"""What goes over an ASGI connection, by the names the specification has for it."""

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from sessionguard.adapters import http

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def header_values(scope: Scope, name: str) -> tuple[bytes, ...]:
    """Give the raw values of the request header `name`."""
    return raw_values(scope, name.lower().encode("latin-1"))


def raw_values(scope: Scope, name: bytes) -> tuple[bytes, ...]:
    """Give the raw values of the request header `name`, which is in lower case."""
    # Lower case is what the specification has servers send; not all of them do.
    return tuple([bytes(value) for key, value in scope["headers"] if key == name or bytes(key).lower() == name])


def header_text(scope: Scope, name: str) -> str | None:
    """Give the first value of the request header `name`, or None."""
    values = header_values(scope, name)
    return values[0].decode("latin-1") if values else None


def text_headers(message: Message) -> list[http.Header]:
    """Give the headers of a message as text."""
    return [
        (bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in message.get("headers", ())
    ]


def raw_headers(headers: list[http.Header]) -> list[tuple[bytes, bytes]]:
    """Give `headers` as messages hold them: names in lower case."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def response_of(answer: http.Answer) -> tuple[list[http.Header], bytes]:
    """Give the headers and the body that tell a client of `answer`."""
    body = HTTPStatus(answer.status).phrase.encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    if answer.retry_after_seconds is not None:
        headers.append(("Retry-After", str(answer.retry_after_seconds)))
    return headers, body
