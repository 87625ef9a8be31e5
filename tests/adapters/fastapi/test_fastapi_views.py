"""FastAPI applications with sessionguard installed: what views depend on, and how they are answered."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

import pytest
from attrs import define
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sessionguard import AsyncSessionGuard, Session, SessionGuard, current_session, open_store
from sessionguard.adapters import concurrency, read_only
from sessionguard.adapters.external import ExternalIds, Strict
from sessionguard.adapters.fastapi import (
    CurrentSession,
    CurrentThreadVisit,
    CurrentVisit,
    CurrentWorkspace,
    ExternalSession,
    OptionalSession,
    external_router,
    install,
    require_session,
)
from sessionguard.adapters.http import HeaderSettings
from sessionguard.errors import ConfigurationError, MisuseError, StoreUnavailableError
from tests.adapters.site import WatchedStore


@define
class Site:
    """One application, and a guard that looks at its store, blocking."""

    app: FastAPI
    store: WatchedStore
    guard: SessionGuard
    client: TestClient

    def visitor(self, owner: str | None = None, **data: Any) -> dict[str, str]:
        """Give the headers of a visitor whose session holds `data`."""
        return {"Cookie": f"__Host-sg={self.guard.create(owner, data=data).token}"}


@pytest.fixture
def site(tmp_path: Any) -> Iterator[Site]:
    """Give an application in which a test declares its routes; errors become responses."""
    inner: Any = open_store("memory://")
    store = WatchedStore(inner)
    app = FastAPI()
    served = AsyncSessionGuard(store, tmp_path, sweep_interval=None)
    install(app, served)
    with TestClient(app, base_url="https://testserver", raise_server_exceptions=False) as client:
        yield Site(app, store, SessionGuard(inner, tmp_path, sweep_interval=None), client)
        assert client.portal is not None
        client.portal.call(served.close)


def test_request_session_is_a_dictionary_that_lasts(site: Site) -> None:
    """`request.session` is what it is with Starlette's own middleware, in views that await and in threads."""

    @site.app.post("/awaited")
    async def awaited(request: Request) -> Any:
        request.session["n"] = request.session.get("n", 0) + 1
        return request.session

    @site.app.post("/thread")
    def thread(request: Request) -> Any:
        request.session.setdefault("list", []).append(current_session() is not None)
        return JSONResponse({"session": request.session})

    assert site.client.post("/awaited").json() == {"n": 1}
    assert site.client.post("/thread").json() == {"session": {"n": 1, "list": [True]}}
    assert site.client.post("/thread").json() == {"session": {"n": 1, "list": [True, True]}}


def test_dependencies_are_typed_and_ask_once(site: Site) -> None:
    """The session is the same object however it is asked for, and one query loads it."""

    @site.app.get("/all")
    async def view(mine: CurrentSession, other: OptionalSession, visit: CurrentVisit, request: Request) -> Any:
        same = {id(mine), id(other), id(await visit.session()), id(current_session())}
        return {"same": len(same), "id": mine.id, "data": dict(request.session)}

    headers = site.visitor(a=1)
    site.store.asked()
    reply = site.client.get("/all", headers=headers)
    assert (reply.json()["same"], reply.json()["data"]) == (1, {"a": 1})
    assert site.store.asked() == ["load"]
    nobody = site.client.get("/all")
    assert (nobody.status_code, nobody.json()) == (401, {"detail": "Unauthorized"})
    assert nobody.headers["WWW-Authenticate"] == "APIKey"
    assert nobody.headers["Vary"] == "Cookie"
    assert site.store.asked() == []


def test_require_session_tells_who_may(site: Site) -> None:
    """401 for nobody and for the anonymous, 403 for the wrong owner; only True of a function lets anybody in."""

    async def is_staff(owner: str) -> bool:
        return owner.startswith("staff:")

    routes = {
        "/named": require_session(),
        "/any": require_session(anonymous=True),
        "/ana": require_session("ana"),
        "/staff": require_session(lambda owner: owner.startswith("staff:")),
        "/awaited": require_session(is_staff),
        "/no-answer": require_session(lambda owner: owner),  # type: ignore[arg-type, return-value]
    }
    for path, dependency in routes.items():

        @site.app.get(path)
        async def view(session: Annotated[Session, dependency]) -> str:
            return session.owner

    visitors = {
        "nobody": {},
        "anonymous": site.visitor(),
        "ana": site.visitor("ana"),
        "staff": site.visitor("staff:bob"),
    }
    found = {
        who: [site.client.get(path, headers=headers).status_code for path in routes]
        for who, headers in visitors.items()
    }
    assert found == {
        "nobody": [401, 401, 401, 401, 401, 401],
        "anonymous": [401, 200, 401, 401, 401, 401],
        "ana": [200, 200, 200, 403, 403, 403],
        "staff": [200, 200, 403, 200, 200, 403],
    }
    with pytest.raises(ConfigurationError, match="owner"):
        require_session(5)  # type: ignore[arg-type]


def test_login_and_logout_over_views(site: Site) -> None:
    """Login gives a new token and keeps the data; logout ends the session and has the browser forget it."""

    @site.app.post("/put")
    async def put(request: Request) -> None:
        request.session["cart"] = [1]

    @site.app.post("/login/{owner}")
    async def login(owner: str, visit: CurrentVisit) -> str:
        return (await visit.login(owner)).owner

    @site.app.post("/logout")
    async def logout(visit: CurrentVisit) -> None:
        await visit.logout()

    @site.app.get("/who")
    async def who(session: CurrentSession, request: Request) -> Any:
        return [session.owner, dict(request.session)]

    client = site.client
    first = client.post("/put").cookies["__Host-sg"]
    second = client.post("/login/ana").cookies["__Host-sg"]
    assert first != second
    assert client.get("/who").json() == ["ana", {"cart": [1]}]
    bye = client.post("/logout")
    assert bye.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert client.get("/who").status_code == 401
    assert site.guard.load(second) is None
    refused = client.post("/login/%20")
    assert (refused.status_code, refused.json()) == (400, {"detail": "Bad Request"})


@pytest.mark.parametrize("kind", [AsyncSessionGuard, SessionGuard])
def test_view_in_a_thread_has_a_visit_that_blocks(tmp_path: Any, kind: Any) -> None:
    """Login, logout and all else work in `def` views, with a guard that awaits and with one that blocks."""
    guard = kind.open("memory://", tmp_path, sweep_interval=None)
    app = install(FastAPI(), guard)

    @app.post("/login/{owner}")
    def login(owner: str, visit: CurrentThreadVisit, request: Request) -> Any:
        request.session["a"] = 1
        session = visit.login(owner)
        visit.save()
        return [session.owner, visit.session() is current_session(), len(visit.own_sessions())]

    @app.post("/files")
    def files(visit: CurrentThreadVisit) -> str:
        with visit.workspace() as workspace:
            workspace.write("a", b"text")
            return str(workspace.read("a").decode())

    @app.post("/logout")
    def logout(visit: CurrentThreadVisit) -> Any:
        return visit.logout() is not None

    @app.post("/awaiting")
    async def awaiting(visit: CurrentThreadVisit) -> None:
        visit.login("ana")

    with TestClient(app, base_url="https://testserver", raise_server_exceptions=False) as client:
        assert client.post("/login/ana").json() == ["ana", True, 1]
        if kind is AsyncSessionGuard:
            with pytest.raises(MisuseError, match="take an `async def` view"):
                TestClient(app, base_url="https://testserver").post("/files")
        files_reply = client.post("/files")
        assert (files_reply.status_code, files_reply.text) == (
            (200, '"text"') if kind is SessionGuard else (500, files_reply.text)
        )
        assert client.post("/logout").json() is True
        assert client.post("/login/%20").status_code == 400
        assert client.post("/awaiting").status_code == 500
        closing = guard.close()
        if closing is not None:
            assert client.portal is not None
            client.portal.call(_awaited, closing)


def test_visit_that_is_awaited_is_refused_in_a_thread(site: Site) -> None:
    """There a login would be answered 200 and never be done. A dependency of such a view may take it, and await it."""

    @site.app.post("/login")
    def login(visit: CurrentVisit) -> None:
        visit.login("ana")  # type: ignore[unused-coroutine]

    async def logged_in(visit: CurrentVisit) -> str:
        return (await visit.login("ana")).owner

    @site.app.post("/owner")
    def owner(found: Annotated[str, Depends(logged_in)]) -> str:
        return found

    with TestClient(site.app, base_url="https://testserver") as client:
        with pytest.raises(MisuseError, match="depend on CurrentThreadVisit"):
            client.post("/login")
        assert client.post("/owner").json() == "ana"


async def _awaited(work: Any) -> None:
    await work


def test_workspace_is_lent_until_the_response_is_whole(site: Site) -> None:
    """A streamed body reads files after the headers are gone, and the lease is given back after it."""
    leases: list[Any] = []

    @site.app.post("/write")
    async def write(workspace: CurrentWorkspace) -> None:
        await workspace.write("a.txt", b"x" * 100_000)

    @site.app.get("/read")
    async def read(workspace: CurrentWorkspace) -> StreamingResponse:
        leases.append(workspace)

        async def body() -> Any:
            async with workspace.open("a.txt") as file:
                while piece := await file.read(40_000):
                    yield piece

        return StreamingResponse(body())

    site.client.post("/write")
    assert len(site.client.get("/read").content) == 100_000
    (session,) = site.guard.sessions()
    ended = site.guard.end(session)
    assert ended is not None
    assert (ended.removed.files, ended.removed.deferred) == (1, False)


@pytest.fixture
def marked(site: Site) -> Site:
    """Give a site with marked views: on the application, behind a router within a router, and mounted."""
    seen: list[str] = []

    async def note(visit: CurrentVisit) -> None:
        mode = visit.flows.mode
        seen.append("read_only" if mode.is_read_only else mode.concurrency)

    def views(target: FastAPI | APIRouter) -> None:
        # The mode counts before the view: its dependencies use the session already.
        @target.get("/plain", dependencies=[Depends(note)])
        async def plain() -> str:
            return seen[-1]

        @target.get("/serial/{number}", dependencies=[Depends(note)])
        @concurrency("serial")
        async def serial(number: int) -> str:
            return seen[-1]

        @target.get("/look", dependencies=[Depends(note)])
        @read_only
        def look(request: Request) -> str:
            with pytest.raises(MisuseError):
                request.session["a"] = 1
            return seen[-1]

        @target.post("/look", dependencies=[Depends(note)])
        async def write() -> str:
            return seen[-1]

    inner, outer, below = APIRouter(prefix="/inner"), APIRouter(), FastAPI()
    targets: list[FastAPI | APIRouter] = [site.app, inner, outer, below]
    for target in targets:
        views(target)
    outer.include_router(inner)
    site.app.include_router(outer, prefix="/outer")
    site.app.mount("/below", below)
    return site


@pytest.mark.parametrize("prefix", ["", "/outer", "/outer/inner", "/below"])
def test_marks_count_before_the_view_wherever_it_is(marked: Site, prefix: str) -> None:
    """Modes of views hold for their dependencies too, behind routers and mounts, per method."""
    headers = marked.visitor(a=1)

    def ask(method: str, path: str) -> str:
        return str(marked.client.request(method, prefix + path, headers=headers).json())

    assert [ask("GET", "/plain"), ask("GET", "/serial/1"), ask("GET", "/look"), ask("POST", "/look")] == [
        "merge",
        "serial",
        "read_only",
        "merge",
    ]
    assert marked.client.get(prefix + "/nowhere", headers=headers).status_code == 404
    assert marked.client.put(prefix + "/look", headers=headers).status_code == 405


def test_errors_have_the_form_of_the_application(site: Site) -> None:
    """503 while the store is away, at the load and at the save, in FastAPI's form, private, with Retry-After."""

    @site.app.post("/write")
    async def write(request: Request) -> str:
        request.session["a"] = 2
        return "done"

    headers = site.visitor(a=1)
    for verb in ("load", "save"):
        site.store.failing = {verb}
        reply = site.client.post("/write", headers=headers)
        assert (reply.status_code, reply.json()) == (503, {"detail": "Service Unavailable"}), verb
        assert int(reply.headers["Retry-After"]) > 0
        assert reply.headers["Cache-Control"] == "private, no-store"
        assert "Set-Cookie" not in reply.headers


def test_refusals_have_one_form(tmp_path: Any) -> None:
    """Those of views, of the library, of the session protocol and FastAPI's own: `detail`, in JSON."""
    inner: Any = open_store("memory://")
    store = WatchedStore(inner)
    app = install(FastAPI(), SessionGuard(store, tmp_path, sweep_interval=None), external=ExternalIds(policy=Strict()))
    app.include_router(external_router())

    @app.get("/mine")
    async def mine(session: CurrentSession) -> None: ...

    @app.get("/named")
    async def named(session: ExternalSession) -> None: ...

    with TestClient(app, base_url="https://testserver") as client:
        token = SessionGuard(inner, tmp_path, sweep_interval=None).create("ana").token
        cookie = {"Cookie": f"__Host-sg={token}"}
        replies = [
            client.get("/mine"),
            client.get("/nowhere"),
            client.put("/mine"),
            client.post("/clear-session"),
            client.get("/named?_sid=a&_sid=b", headers=cookie),
            client.get("/debug-sessions"),
        ]
        store.failing = {"load"}
        replies.append(client.get("/mine", headers=cookie))
    assert [reply.status_code for reply in replies] == [401, 404, 405, 400, 400, 404, 503]
    for reply in replies:
        assert reply.json().pop("detail") == HTTPStatus(reply.status_code).phrase
        assert reply.json().keys() <= {"detail", "error"}


def test_handler_of_the_application_wins(site: Site) -> None:
    """A handler for an error of ours, or for HTTP errors, gives its page, in the view and at the save."""

    @site.app.post("/write")
    async def write(request: Request) -> str:
        request.session["a"] = 2
        return "done"

    headers = site.visitor(a=1)

    @site.app.exception_handler(HTTPException)
    def page(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"status": error.status_code}, 418)

    site.store.failing = {"save"}
    reply = site.client.post("/write", headers=headers)
    # Starlette's own class is the one that every HTTP error has; FastAPI's is below it.
    assert (reply.status_code, reply.json()) == (503, {"detail": "Service Unavailable"})


@pytest.mark.parametrize("verb", ["load", "save"])
def test_handler_for_our_error_wins(tmp_path: Any, verb: str) -> None:
    """A handler for an error of ours is asked, whether the view met it or the save after it."""
    inner: Any = open_store("memory://")
    store = WatchedStore(inner)
    app = install(FastAPI(), SessionGuard(store, sweep_interval=None))

    @app.post("/write")
    async def write(request: Request) -> str:
        request.session["a"] = 2
        return "done"

    @app.exception_handler(StoreUnavailableError)
    async def own(request: Request, error: StoreUnavailableError) -> JSONResponse:
        return JSONResponse({"own": str(request.url.path)}, 418)

    token = SessionGuard(inner, sweep_interval=None).create().token
    store.failing = {verb}
    reply = TestClient(app, base_url="https://testserver").post("/write", headers={"Cookie": f"__Host-sg={token}"})
    assert (reply.status_code, reply.json()) == (418, {"own": "/write"})
    assert reply.headers["Cache-Control"] == "private, no-store"


def test_t39_page_of_an_unexpected_error_is_private(site: Site) -> None:
    """The page that comes from outside of all middleware may show who is logged in; a new token is not lost with it."""

    @site.app.post("/fail")
    async def fail(visit: CurrentVisit) -> None:
        await visit.login("ana")
        raise ZeroDivisionError

    reply = site.client.post("/fail", headers=site.visitor(a=1))
    assert reply.status_code == 500
    assert (reply.headers["Vary"], reply.headers["Cache-Control"]) == ("Cookie", "private, no-store")
    assert len(reply.headers.get_list("Set-Cookie")) == 1


def test_background_tasks_find_the_request_over(site: Site) -> None:
    """After the response nothing is written any more, and there is no current session; what was passed can be read."""
    seen: list[Any] = []

    def job(request: Request, session: Session) -> None:
        seen.append((current_session(), dict(request.session), session.owner))
        try:
            request.session["late"] = 1
        except Exception as error:
            seen.append(type(error).__name__)

    @site.app.post("/start")
    async def start(request: Request, session: CurrentSession, tasks: BackgroundTasks) -> None:
        tasks.add_task(job, request, session)

    assert site.client.post("/start", headers=site.visitor("ana", a=1)).status_code == 200
    assert seen == [(None, {"a": 1}, "ana"), "SessionSealedError"]


def test_docs_page_shows_how_tokens_travel(site: Site) -> None:
    """The schema has the scheme of this application, at the views that want a session and no others."""

    @site.app.get("/mine")
    async def mine(session: CurrentSession) -> None: ...

    @site.app.get("/all")
    async def everybody(session: OptionalSession) -> None: ...

    schema = site.client.get("/openapi.json").json()
    assert schema["paths"]["/mine"]["get"]["security"] == [{"sessionguard": []}]
    assert "security" not in schema["paths"]["/all"]["get"]
    scheme = schema["components"]["securitySchemes"]["sessionguard"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "cookie", "__Host-sg")
    other = install(FastAPI(), SessionGuard.open("memory://"), transport=HeaderSettings(name="X-Visitor"))
    other.add_api_route("/mine", mine)
    scheme = other.openapi()["components"]["securitySchemes"]["sessionguard"]
    assert (scheme["in"], scheme["name"]) == ("header", "X-Visitor")


def test_websocket_without_a_session_is_refused(site: Site) -> None:
    """A WebSocket that wants a session is refused at the handshake without one, and served with one."""

    @site.app.websocket("/ws")
    async def serve(socket: WebSocket, session: CurrentSession) -> None:
        await socket.accept()
        await socket.send_json({"owner": session.owner, "data": dict(socket.session)})
        await socket.close()

    with pytest.raises(WebSocketDisconnect) as caught, site.client.websocket_connect("/ws"):
        pass
    assert caught.value.code == 4401
    with site.client.websocket_connect("/ws", headers=site.visitor("ana", a=1)) as socket:
        assert socket.receive_json() == {"owner": "ana", "data": {"a": 1}}


def test_t11_websocket_is_closed_when_its_session_ends() -> None:
    """A view that waits for messages hears no more, and the client is told 4401."""
    guard = SessionGuard(open_store("memory://"), sweep_interval=None)
    visitor = guard.create("ana")
    app = FastAPI()
    install(app, guard, check_interval=timedelta(milliseconds=10))
    heard: list[str] = []

    @app.websocket("/socket")
    async def view(socket: WebSocket, session: CurrentSession) -> None:
        await socket.accept()
        async with asyncio.timeout(10):
            async for text in socket.iter_text():
                heard.append(text)
                await socket.send_text(session.owner)

    client = TestClient(app, base_url="https://testserver", headers={"Cookie": f"__Host-sg={visitor.token}"})
    with client, client.websocket_connect("wss://testserver/socket") as socket:
        socket.send_text("one")
        assert socket.receive_text() == "ana"
        guard.end(visitor)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert (closed.value.code, heard) == (4401, ["one"])
    guard.close()


def test_install_refuses_what_cannot_be() -> None:
    """What is wrong is told where it was written, before any request."""
    guard = SessionGuard.open("memory://")
    with pytest.raises(ConfigurationError, match="the application comes first"):
        install(guard, FastAPI())  # type: ignore[type-var, arg-type]
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_URL"):
        install(FastAPI(), config={})
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_CONCURRENCY"):
        install(FastAPI(), guard, concurrency="parallel")
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_ALLOWED_ORIGINS"):
        install(FastAPI(), guard, allowed_origins=["app.example.org"])
    app = install(FastAPI(), guard)
    with pytest.raises(MisuseError, match="already"):
        install(app, guard)
    with pytest.raises(MisuseError, match="install"):
        TestClient(_unbound()).get("/mine")


def test_limit_of_devices_follows_the_settings() -> None:
    """The third login of one user takes the place of the first, as the configuration says."""
    settings = {"SESSIONGUARD_URL": "memory://", "SESSIONGUARD_MAX_ACTIVE": 2, "SESSIONGUARD_ON_LIMIT": "end_oldest"}
    app = install(FastAPI(), config=settings)

    @app.post("/login")
    async def login(visit: CurrentVisit) -> None:
        await visit.login("ana")

    @app.get("/mine")
    async def mine(session: CurrentSession) -> None: ...

    with TestClient(app, base_url="https://testserver") as client:
        devices = []
        for _ in range(3):
            devices.append({"Cookie": client.post("/login").headers["Set-Cookie"].partition(";")[0]})
            client.cookies.clear()
        assert [client.get("/mine", headers=device).status_code for device in devices] == [401, 200, 200]


def _unbound() -> FastAPI:
    app = FastAPI()

    @app.get("/mine")
    async def mine(session: CurrentSession) -> None: ...

    return app
