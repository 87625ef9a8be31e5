"""A browser without a network: it sends requests to a WSGI application through the server of the standard library."""

import io
from collections.abc import Callable
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.types import StartResponse, WSGIApplication
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from attrs import field, frozen

Plain = Callable[[dict[str, Any], StartResponse], Any]


@frozen
class Reply:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    text: str
    log: str
    """What the server wrote into its log."""

    def all(self, name: str) -> list[str]:
        """Give the values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value


@frozen
class Browser:
    """Keeps the cookies of one visitor. Both faces of what it calls are held to the rules of WSGI."""

    app: WSGIApplication
    cookies: dict[str, str] = field(factory=dict)

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> Reply:
        """Send a request."""
        environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", "REQUEST_METHOD": method}
        environ |= {"wsgi.url_scheme": "https", **headers}
        if self.cookies:
            environ.setdefault("HTTP_COOKIE", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        setup_testing_defaults(environ)
        body, log = io.BytesIO(), io.StringIO()
        handler = SimpleHandler(io.BytesIO(), body, log, environ)
        handler.run(validator(self.app))
        head, _, rest = body.getvalue().partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        for name, value in fields:
            if name == "Set-Cookie":
                self._keep(*value.partition(";")[0].split("=", 1))
        return Reply(int(status.split()[1]), fields, rest.decode(), log.getvalue())

    def _keep(self, name: str, value: str) -> None:
        if value:
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)
