"""Starlette applications with the middleware in their list, beside Starlette's own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from sessionguard import SessionGuard, current_session, open_store
from sessionguard.adapters import concurrency, read_only
from sessionguard.adapters.asgi import SessionGuardMiddleware
from tests.adapters.site import WatchedStore


class Backend(AuthenticationBackend):
    """Knows users by the session, before any view runs."""

    async def authenticate(self, conn: Any) -> Any:
        """Give who the visitor is."""
        name = conn.session.get("user")
        return None if name is None else (AuthCredentials(["authenticated"]), SimpleUser(name))


class Noted(BaseHTTPMiddleware):
    """Runs what is within it in a task of its own, and writes to the session before and after it."""

    async def dispatch(self, request: Request, call_next: Any) -> Any:
        """Count requests."""
        request.session["before"] = request.session.get("before", 0) + 1
        response = await call_next(request)
        response.headers["X-Seen"] = str(current_session() is not None)
        request.session["after"] = True
        return response


async def login(request: Request) -> Any:
    """Log in as Starlette's users do."""
    request.session["user"] = (await request.form())["user"]
    return RedirectResponse("/who", 303)


def who(request: Request) -> Any:
    """Say who is there, in a thread."""
    return JSONResponse({"user": request.user.display_name, "session": request.session})


async def stream(request: Request) -> Any:
    """Read the session while the body is being made."""

    async def body() -> AsyncIterator[str]:
        for name in sorted(request.session):
            yield name + ";"

    return StreamingResponse(body())


def download(request: Request) -> Any:
    """Give a file."""
    return FileResponse(__file__, headers={"Cache-Control": "public"} if request.query_params else None)


@read_only
class Look(HTTPEndpoint):
    """A view that is a class."""

    async def get(self, request: Request) -> Any:
        """Say in which mode it runs."""
        return PlainTextResponse(str(request.state.sessionguard.flows.mode.is_read_only))


@concurrency("strict")
async def socket(websocket: WebSocket) -> None:
    """Say in which mode it runs."""
    await websocket.accept()
    await websocket.send_text(websocket.state.sessionguard.flows.mode.concurrency)
    await websocket.close()


async def missing(request: Request) -> Any:
    """Look, and find nothing."""
    raise HTTPException(404, f"nothing for {request.session.get('user')}")


ROUTES = [
    Route("/login", login, methods=["POST"]),
    Route("/who", who),
    Route("/stream", stream),
    Route("/download", download),
    Route("/look", Look),
    Route("/missing", missing),
    WebSocketRoute("/socket", socket),
    Mount("/static", StaticFiles(directory=Path(__file__).parent)),
]


@pytest.fixture
def store() -> WatchedStore:
    """Give a store that is watched."""
    return WatchedStore(open_store("memory://"))


def client_of(store: WatchedStore, *inner: Any, routes: Any = None) -> TestClient:
    """Give a browser of an application with our middleware first, then Starlette's authentication, then `inner`."""
    guard = SessionGuard(store, sweep_interval=None)
    ours = Middleware(SessionGuardMiddleware, guard)
    authentication = Middleware(AuthenticationMiddleware, backend=Backend())
    app = Starlette(routes=ROUTES if routes is None else routes, middleware=[ours, authentication, *inner])
    return TestClient(app, base_url="https://testserver")


def test_authentication_reads_the_session_before_the_view(store: WatchedStore) -> None:
    """Who logged in is known at the next request; each request asks once."""
    client = client_of(store)
    assert client.get("/who").json() == {"user": "", "session": {}}
    assert client.post("/login", data={"user": "ana"}, follow_redirects=False).status_code == 303
    store.asked()
    assert client.get("/who").json() == {"user": "ana", "session": {"user": "ana"}}
    assert store.asked() == ["load"]


def test_outage_under_authentication_is_503(store: WatchedStore) -> None:
    """An error in middleware within ours is answered by the table as one in a view is."""
    client = client_of(store)
    client.post("/login", data={"user": "ana"})
    store.failing = {"load"}
    reply = client.get("/who")
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")


def test_middleware_in_tasks_of_its_own_sees_one_session(store: WatchedStore) -> None:
    """What it writes before the view is stored; what it writes after the response was made is, too."""
    client = client_of(store, Middleware(Noted), Middleware(GZipMiddleware, minimum_size=1))
    reply = client.get("/who")
    assert (reply.json()["session"], reply.headers["X-Seen"]) == ({"before": 1}, "False")
    assert client.get("/who").headers["X-Seen"] == "True"


def test_responses_of_every_class(store: WatchedStore) -> None:
    """Streams, files, errors and static files: private where the session is or may be used, and whole."""
    client = client_of(store)
    client.post("/login", data={"user": "ana"})
    stream = client.get("/stream")
    assert (stream.text, stream.headers["Vary"]) == ("user;", "Cookie")
    assert client.get("/missing").headers["Cache-Control"] == "private, no-store"
    # Without authentication, which looks at the session of every request.
    bare = Starlette(
        routes=ROUTES,
        middleware=[Middleware(SessionGuardMiddleware, SessionGuard(store, sweep_interval=None))],
    )
    other = TestClient(bare, base_url="https://testserver", cookies=client.cookies)
    for path in ("/download?public=1", "/static/test_starlette.py"):
        reply = other.get(path)
        assert reply.content == Path(__file__).read_bytes()
        assert "Vary" not in reply.headers
        assert reply.headers.get("Cache-Control") == ("public" if "public" in path else None)


def test_marks_of_classes_and_sockets(store: WatchedStore) -> None:
    """A view that is a class, and a WebSocket, may have a mode of their own."""
    client = client_of(store)
    assert client.get("/look").text == "True"
    with client.websocket_connect("/socket") as websocket:
        assert websocket.receive_text() == "strict"


def test_background_task_of_a_response_runs_after_it(store: WatchedStore) -> None:
    """What it looks at is the request's, and no longer current."""
    seen: list[Any] = []

    async def view(request: Request) -> Any:
        async def job() -> None:
            seen.append((dict(request.session), current_session()))

        return PlainTextResponse("ok", background=BackgroundTask(job))

    client = client_of(store, routes=[Route("/", view), *ROUTES])
    client.post("/login", data={"user": "ana"})
    assert client.get("/").text == "ok"
    assert seen == [({"user": "ana"}, None)]
