"""A browser of the project, whose requests Django handles as under WSGI, or as under ASGI."""

import asyncio
from typing import Any

from django.test import AsyncClient, Client

COOKIE = "__Host-sg"
OURS = "sessionguard.adapters.django.middleware.SessionGuardMiddleware"
MIDDLEWARE = [
    OURS,
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]


class Browser:
    """A browser whose requests Django handles as under WSGI, or as under ASGI."""

    def __init__(self, kind: str, token: str | None = None) -> None:
        self.kind = kind
        self.is_async = kind == "async"
        self._client: Any = (AsyncClient if self.is_async else Client)(raise_request_exception=False)
        if token is not None:
            self.token = token

    def send(self, method: str, path: str, **options: Any) -> Any:
        """Give the response."""
        answer = getattr(self._client, method.lower())(path, **options)
        if self.is_async:
            with asyncio.Runner() as runner:
                return runner.run(_awaited(answer))
        return answer

    def get(self, path: str, **options: Any) -> Any:
        """Give the response to a GET."""
        return self.send("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        """Give the response to a POST."""
        return self.send("POST", path, **options)

    @property
    def token(self) -> str | None:
        """What it holds in its cookie."""
        morsel = self._client.cookies.get(COOKIE)
        return None if morsel is None or not morsel.value else str(morsel.value)

    @token.setter
    def token(self, value: str | None) -> None:
        self._client.cookies[COOKIE] = value


async def _awaited(answer: Any) -> Any:
    return await answer
