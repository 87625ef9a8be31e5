"""Another library's sessions left in an application beside ours: told, before either mixes with the other."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount

from sessionguard import SessionGuard
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.fastapi import install
from sessionguard.errors import MisuseError


class Derived(SessionMiddleware):
    """One of the application's own."""


@pytest.fixture
def guard() -> Iterator[SessionGuard]:
    """Give a guard in memory."""
    with SessionGuard.open("memory://") as guard:
        yield guard


def _app() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def note(request: Request) -> None:
        request.session["secret"] = "swordfish"

    return app


@pytest.mark.parametrize("kind", [SessionMiddleware, Derived])
def test_one_that_is_there_already_is_refused(guard: SessionGuard, kind: Any) -> None:
    """It would keep the session alone, within ours."""
    app = _app()
    app.add_middleware(kind, secret_key="k")
    with pytest.raises(MisuseError, match="take it out"):
        install(app, guard)


@pytest.mark.parametrize("kind", [SessionMiddleware, Derived])
def test_one_that_is_added_later_is_refused(guard: SessionGuard, kind: Any) -> None:
    """As the application starts, and where the server starts nothing in the first request: no data is sent."""
    app = install(_app(), guard)
    app.add_middleware(kind, secret_key="k")
    with pytest.raises(MisuseError, match="take it out"):
        TestClient(app).get("/")
    with pytest.raises(MisuseError, match="take it out"), TestClient(app):
        pass


def test_one_around_the_bare_middleware_is_refused(guard: SessionGuard) -> None:
    """Around an application that is mounted, too: it would find the visitor's data in its place, and sign them."""
    outer = Starlette(routes=[Mount("/shop", SessionGuardMiddleware(_app(), guard))])
    outer.add_middleware(SessionMiddleware, secret_key="k")
    with pytest.raises(MisuseError, match="take it out"):
        TestClient(outer).get("/shop/")


def test_one_of_a_mounted_application_is_its_own(guard: SessionGuard) -> None:
    """Within its mount it keeps its sessions, and ours are ours."""
    inner = _app()
    inner.add_middleware(SessionMiddleware, secret_key="k")
    app = install(_app(), guard)
    app.mount("/admin", inner)
    with TestClient(app, base_url="https://testserver") as client:
        assert "session=" in client.get("/admin/").headers["Set-Cookie"]
        assert client.get("/").headers["Set-Cookie"].startswith("__Host-sg=")
