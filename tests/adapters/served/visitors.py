"""A browser as far as cookies go: what a response sets it sends from then on, and both can be looked at."""

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpx
from attrs import frozen

from tests.adapters.served.gates import SECONDS

COOKIE = "__Host-sg"


class Visitor:
    """One browser; its tabs share the cookies and may send at the same time, each from a thread of its own."""

    def __init__(
        self, url: str, cookies: dict[str, str] | None = None, *, headers: dict[str, str] | None = None
    ) -> None:
        self.url = url
        self.cookies = dict(cookies or {})
        self._headers = headers or {}

    @property
    def token(self) -> str | None:
        """What the cookie of its session holds."""
        return self.cookies.get(COOKIE)

    def at(self, url: str) -> "Visitor":
        """Give the same browser, with the cookies it has now, before another server."""
        return Visitor(url, self.cookies)

    def copy(self) -> "Visitor":
        """Give somebody who holds the cookies that this one has now."""
        return Visitor(self.url, self.cookies)

    def get(self, path: str, **query: object) -> httpx.Response:
        """Ask for `path`."""
        return self.send("GET", path, **query)

    def post(self, path: str, *, files: Any = None, **query: object) -> httpx.Response:
        """Send a form to `path`; what it says is in the address, so that no reading of bodies is part of the test."""
        return self.send("POST", path, files=files, **query)

    def send(self, method: str, path: str, *, files: Any = None, **query: object) -> httpx.Response:
        """Send the cookies it has, and take in those that come back."""
        headers = self._headers
        if self.cookies:
            headers = headers | {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        response = _client().request(
            method,
            f"{self.url}{path}",
            params={name: str(value) for name, value in query.items()},
            headers=headers,
            files=files,
        )
        for cookie in map(SetCookie.parse, set_cookies(response)):
            if cookie.is_farewell:
                self.cookies.pop(cookie.name, None)
            else:
                self.cookies[cookie.name] = cookie.value
        return response


@frozen
class SetCookie:
    """One cookie as a response sets it."""

    name: str
    value: str
    attributes: frozenset[str]
    """What it is limited by, in small letters; not until when it is kept."""
    is_farewell: bool
    """Whether the browser is to forget it."""

    @classmethod
    def parse(cls, line: str) -> "SetCookie":
        """Read the value of a Set-Cookie header."""
        (name, _, value), *attributes = (part.strip().partition("=") for part in line.split(";"))
        said = {name.lower(): value for name, _, value in attributes}
        limits = {f"{name}={value}".lower() for name, value in said.items() if name not in ("expires", "max-age")}
        return cls(name, value.strip('"'), frozenset(limits), said.get("max-age") == "0")


def set_cookies(response: httpx.Response) -> list[str]:
    """Give what a response sets."""
    return response.headers.get_list("set-cookie")


_clients: list[httpx.Client] = []


def _client() -> httpx.Client:
    """Give the connections that all visitors share: those of the wire carry nobody's cookies."""
    if not _clients:
        client = httpx.Client(trust_env=False, verify=False, timeout=SECONDS, limits=httpx.Limits(max_connections=100))
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        _clients.append(client)
    return _clients[0]
