"""A browser as far as the demonstration needs one: cookies, local storage, forms with files, over real HTTP."""

import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any

from attrs import frozen

REQUEST_SECONDS = 10.0


@frozen
class Page:
    """What came back for one request."""

    status: int
    content: bytes
    served_by: str
    """Instance and pid of the worker that answered."""

    def json(self) -> Any:
        """Give the content as JSON."""
        return json.loads(self.content)


class Browser:
    """One browser; its tabs share the cookies and the local storage, and may send at the same time."""

    def __init__(self, base_url: str, local_storage: Mapping[str, str]) -> None:
        self._base_url = base_url
        self.local_storage = dict(local_storage)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),  # a proxy of the environment has no business on loopback
            urllib.request.HTTPCookieProcessor(CookieJar()),
        )

    def get(self, path: str, query: Mapping[str, str]) -> Page:
        """Ask for a page; any status is an answer.

        Raises:
            OSError: no answer came.
        """
        return self._fetch(urllib.request.Request(f"{self._base_url}{path}?{urllib.parse.urlencode(query)}"))

    def post(self, path: str, fields: Mapping[str, str], files: Mapping[str, bytes] | None = None) -> Page:
        """Submit a form, with files if there are any; any status is an answer.

        Raises:
            OSError: no answer came.
        """
        boundary = f"----form-{secrets.token_hex(16)}"
        return self._fetch(
            urllib.request.Request(
                f"{self._base_url}{path}",
                data=_multipart(boundary, fields, files or {}),
                headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            )
        )

    def _fetch(self, request: urllib.request.Request) -> Page:
        try:
            with self._opener.open(request, timeout=REQUEST_SECONDS) as reply:
                return Page(reply.status, reply.read(), reply.headers.get("X-Served-By", "?"))
        except urllib.error.HTTPError as reply:
            with reply:
                return Page(reply.code, reply.read(), reply.headers.get("X-Served-By", "?"))


def _multipart(boundary: str, fields: Mapping[str, str], files: Mapping[str, bytes]) -> bytes:
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [
        (f'name="file{number}"; filename="{name}"', content) for number, (name, content) in enumerate(files.items())
    ]
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"
        for disposition, content in parts
    )
    return body + f"--{boundary}--\r\n".encode()
