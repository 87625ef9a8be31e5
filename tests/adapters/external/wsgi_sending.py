"""Sends requests to a WSGI application, and keeps no cookies."""

from collections.abc import Iterable
from typing import Any

from werkzeug.test import Client, EnvironBuilder

from tests.adapters.external.stage import Answer


def send_wsgi(app: Any, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
    """Give the answer to one request."""
    path, _, query = url.partition("?")
    sent = list(headers)
    builder = EnvironBuilder(
        path, method=method, query_string=query, headers=sent, data=body or None, base_url="https://x/"
    )
    environ = builder.get_environ()
    environ["HTTP_HOST"] = dict(sent).get("Host", "x")
    response = Client(app, use_cookies=False).open(environ, buffered=True)
    return Answer(response.status_code, tuple(response.headers), response.text)
