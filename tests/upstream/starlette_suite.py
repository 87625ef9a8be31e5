"""Starlette's own cases for its session middleware, with ours in its place: a pytest plugin for that file of its suite.

What the cases say to Starlette's middleware is said to ours in our words; each application has a guard of its own.
"""

import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from starlette.middleware import sessions

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.adapters.asgi import GuardedSession, SessionGuardMiddleware
from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.visits import AsyncVisit, VisitRules
from sessionguard.adapters.visits.calls import run
from tests.upstream.exclusions import Table
from tests.upstream.under_pytest import HeldToTable

_ATTRIBUTE = re.compile(rb"(?<=; )[A-Za-z-]+")


class TranslatedMiddleware:
    """Our middleware, constructed with what Starlette's is constructed with."""

    def __init__(
        self,
        app: Any,
        secret_key: str,
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: str = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
    ) -> None:
        # No key takes part in ours.
        cookie = CookieSettings(
            name=session_cookie,
            secure=https_only,
            samesite=same_site.capitalize(),
            path=path,
            domain=domain,
            max_age=None if max_age is None else timedelta(seconds=max_age),
            partitioned=partitioned,
        )
        self._guarded = SessionGuardMiddleware(app, AsyncSessionGuard.open("memory://"), transport=cookie)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve, and spell the names of cookie attributes as Starlette does, for the cases compare them as text."""

        async def respelled(message: Any) -> None:
            if "headers" in message:
                message["headers"] = [
                    (name, _respelled(value) if name.lower() == b"set-cookie" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self._guarded(scope, receive, respelled)


def _respelled(cookie: bytes) -> bytes:
    return _ATTRIBUTE.sub(lambda found: found[0] if found[0] == b"Max-Age" else found[0].lower(), cookie)


class FilledSession(GuardedSession):
    """Our mapping over a session that holds `data`, as the cases make Starlette's of a dictionary."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        guard = SessionGuard.open("memory://")
        opened = guard.create(data=data)
        visit = AsyncVisit(VisitRules(guard=guard, transport=CookieSettings()), [f"__Host-sg={opened.token}".encode()])
        run(visit.flows.resolve(), guard)
        super().__init__(visit)


def pytest_configure(config: pytest.Config) -> None:
    """Put ours in the place of Starlette's."""
    setattr(sessions, "SessionMiddleware", TranslatedMiddleware)  # noqa: B010 - of another type than the original
    setattr(sessions, "Session", FilledSession)  # noqa: B010
    config.pluginmanager.register(HeldToTable(Table.of("starlette")))


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Leave the name `tests` to Starlette's suite, whose modules import each other by it."""
    del sys.modules["tests"]
