"""What each framework has of its own around the session protocol: bodies that were read before, awaited functions."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import pytest
from attrs import evolve
from django.core.checks import run_checks
from django.http import HttpRequest
from django.test import override_settings
from fastapi import APIRouter, FastAPI, Form
from fastapi.testclient import TestClient
from flask import Flask, request
from starlette.applications import Starlette
from starlette.routing import Mount

from sessionguard import SessionGuard, open_store
from sessionguard.adapters.asgi import ExternalRoutes, SessionGuardMiddleware, external_session
from sessionguard.adapters.django.external import external_session as django_external_session
from sessionguard.adapters.external import ExternalIds, Select
from sessionguard.adapters.external.reading import MAX_BODY_BYTES
from sessionguard.adapters.fastapi import ExternalSession, external_router, external_routes, install
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.adapters.flask import external_routes as flask_routes
from sessionguard.adapters.flask import external_session as flask_session
from sessionguard.errors import MisuseError, SessionSealedError
from tests.adapters.external.asgi_stage import answer_of
from tests.adapters.external.django_stage import MIDDLEWARE, DjangoApp
from tests.adapters.external.stage import Answer, Backstage, Browser
from tests.adapters.external.wsgi_sending import send_wsgi
from tests.adapters.site import Clock

IDS = ExternalIds(policy=Select(), caller=lambda request: "app-1")
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def guard(tmp_path: Path) -> Any:
    """Give a guard that blocks."""
    with SessionGuard.open("memory://", tmp_path, sweep_interval=None) as made:
        yield made


class Awaiting:
    """Sends requests to an ASGI application, each in an event loop of its own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def send(self, method: str, url: str, headers: Any, body: bytes) -> Answer:
        return asyncio.run(answer_of(self.app, method, url, headers, body))

    def close(self) -> None:
        """It has opened nothing."""

    @staticmethod
    def header(request: Any, name: str) -> str | None:
        """Nobody asks."""


class Blocking(Awaiting):
    """Sends requests to a WSGI application."""

    def send(self, method: str, url: str, headers: Any, body: bytes) -> Answer:
        return send_wsgi(self.app, method, url, headers, body)


def test_t44_flask_form_that_was_taken_before_counts(guard: SessionGuard) -> None:
    """Another extension looked at the form first, and the stream is gone; the view still has both."""
    app = Flask("taken")
    SessionGuardExtension(app, guard, external=IDS)

    @app.before_request
    def look() -> None:
        assert request.form is not None

    @app.post("/work")
    def work() -> dict[str, Any]:
        session = flask_session()
        assert session is not None
        return {"sid": session.external_id, "form": request.form.to_dict()}

    browser = Browser(Blocking(app))
    form = [("_sid", "42"), ("note", "a b")]
    assert browser.post("/work", form=form).json == {"sid": "42", "form": {"_sid": "42", "note": "a b"}}
    assert browser.post("/work", "_sid=43", form=form).status == 400


def test_t44_flask_body_stays_for_the_view(guard: SessionGuard) -> None:
    """It is looked at for a name, and left."""
    app = Flask("left")
    SessionGuardExtension(app, guard, external=IDS)

    @app.post("/work")
    def work() -> dict[str, Any]:
        return {"named": flask_session() is not None, "json": request.get_json()}

    answer = Browser(Blocking(app)).post("/work", json_text='{"_sid": "42", "a": 1}')
    assert answer.json == {"named": True, "json": {"_sid": "42", "a": 1}}


def test_t44_fastapi_form_that_was_taken_before_counts(guard: SessionGuard) -> None:
    """FastAPI takes forms apart before any dependency runs."""
    app = FastAPI()
    install(app, guard, external=IDS)

    @app.post("/work")
    async def work(session: ExternalSession, note: Annotated[str, Form()]) -> dict[str, Any]:
        assert session is not None
        return {"sid": session.external_id, "note": note}

    browser = Browser(Awaiting(app))
    form = [("_sid", "42"), ("note", "a b")]
    assert browser.post("/work", form=form).json == {"sid": "42", "note": "a b"}
    assert browser.post("/work", "_sid=43", form=form).status == 400


def test_t44_fastapi_body_stays_for_the_view(guard: SessionGuard) -> None:
    """Large ones, too, which are not looked at."""
    app = FastAPI()
    install(app, guard, external=IDS)

    @app.post("/work")
    async def work(session: ExternalSession, body: dict[str, Any]) -> dict[str, Any]:
        return {"named": session is not None, "size": len(body["text"])}

    browser = Browser(Awaiting(app))
    assert browser.post("/work", json_text='{"_sid": "42", "text": "abc"}').json == {"named": True, "size": 3}
    text = "a" * MAX_BODY_BYTES
    assert browser.post("/work", "_sid=42", json_text=f'{{"text": "{text}"}}').json == {
        "named": True,
        "size": len(text),
    }


def test_functions_of_the_application_may_be_awaited(guard: SessionGuard) -> None:
    """As those that look a key up in a database are."""

    async def caller(request: Any) -> str | None:
        await asyncio.sleep(0)
        return {"key": "app-1"}.get(request.headers.get("X-Key"))

    async def may_debug(request: Any) -> bool:
        await asyncio.sleep(0)
        return bool(request.headers.get("X-Key") == "key")

    app = FastAPI()
    install(app, guard, external=ExternalIds(policy=Select(), caller=caller, may_debug=may_debug))
    app.include_router(external_router(prefix="/api"))
    browser = Browser(Awaiting(app), headers={"X-Key": "key"})
    assert browser.post("/api/new-session", "_sid=42").status == 201
    assert browser.get("/api/debug-sessions").json["total"] == 1
    assert Browser(Awaiting(app)).get("/api/debug-sessions").status == 404
    assert [session.owner for session in guard.sessions(scope="external")] == ["app-1"]
    assert {"/api/new-session", "/api/clear-session", "/api/debug-sessions"} <= app.openapi()["paths"].keys()


def test_starlette_takes_the_same_routes(guard: SessionGuard) -> None:
    """Listed, or as an application that is mounted below a path."""
    app = Starlette(routes=[*external_routes()])
    app.mount("/below", ExternalRoutes())
    install(app, guard, external=IDS)
    browser = Browser(Awaiting(app))
    assert browser.post("/new-session", "_sid=42").status == 201
    assert browser.post("/below/clear-session", "_sid=42").json["cleared"] is True
    assert browser.post("/below/elsewhere").status == 404
    assert browser.get("/below/new-session").status == 405


def test_asgi_body_that_grows_past_what_it_said_is_not_read_on(guard: SessionGuard) -> None:
    """A server that does not hold a client to its length does not fill the memory here."""
    app = SessionGuardMiddleware(ExternalRoutes(), guard, external=IDS)
    headers = {"Content-Type": FORM, "Content-Length": "5", "Host": "app.example.org"}
    answer = Awaiting(app).send("POST", "/new-session", headers.items(), b"a" * (MAX_BODY_BYTES + 1))
    assert answer.status == 400
    assert list(guard.sessions(scope="external")) == []


def test_t08_session_is_not_looked_for_when_the_response_is_on_its_way(guard: SessionGuard) -> None:
    """Its headers could no longer bind a browser, nor keep it from caches; what was found before stays at hand."""
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/early":
            found.append(await external_session(scope))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        try:
            found.append(await external_session(scope))
        except SessionSealedError as error:
            found.append(error)
        await send({"type": "http.response.body", "body": b""})

    browser = Browser(Awaiting(SessionGuardMiddleware(app, guard, external=IDS)))
    browser.get("/early", "_sid=42")
    assert found[0] is found.pop()
    browser.get("/late", "_sid=43")
    assert isinstance(found.pop(), SessionSealedError)
    assert [session.external_id for session in guard.sessions(scope="external")] == ["42"]


def test_application_without_external_ids_is_told_the_remedy(guard: SessionGuard) -> None:
    """When it mounts the routes, whatever it does first, and not when somebody wonders why nothing is found."""
    app = Flask("plain")
    SessionGuardExtension(app, guard)
    with pytest.raises(MisuseError, match="external=ExternalIds"):
        app.register_blueprint(flask_routes())
    app = Flask("later")
    app.register_blueprint(flask_routes())
    with pytest.raises(MisuseError, match="external=ExternalIds"):
        SessionGuardExtension(app, guard)
    app = Flask("told")
    app.register_blueprint(flask_routes())
    SessionGuardExtension(app, guard, external=IDS)
    with pytest.raises(MisuseError, match="SessionGuardMiddleware"):
        asyncio.run(external_session({"type": "http"}))


@pytest.mark.parametrize("kind", ["FastAPI", "below", "Starlette", "mounted"])
def test_application_without_external_ids_does_not_start(guard: SessionGuard, kind: str) -> None:
    """With the routes of the session protocol in it, included or mounted anywhere; what it is told starts it."""

    def built(**options: Any) -> Any:
        if kind in ("FastAPI", "below"):
            app = install(FastAPI(), guard, **options)
            router = APIRouter()
            router.include_router(external_router())
            app.include_router(router if kind == "below" else external_router(), prefix="/api")
            return app
        mount = Mount("/api", routes=external_routes())
        return install(Starlette(routes=[mount] if kind == "mounted" else external_routes()), guard, **options)

    with pytest.raises(MisuseError, match="external=ExternalIds"), TestClient(built()):
        pass
    with TestClient(built(external=IDS)):
        pass


def test_application_mounted_elsewhere_says_for_itself(guard: SessionGuard) -> None:
    """What ids can do there is no matter of the application around it."""
    inner = install(FastAPI(), guard, external=IDS)
    inner.include_router(external_router())
    outer = install(FastAPI(), guard)
    outer.mount("/inner", inner)
    with TestClient(outer):
        pass


@pytest.mark.parametrize(
    "changed, messages",
    [
        ({"SESSIONGUARD_EXTERNAL_IDS": None}, ["nothing says what an id can do"]),
        ({"SESSIONGUARD_EXTERNAL_IDS": "strict", "MIDDLEWARE": []}, ["need our middleware"]),
        ({"SESSIONGUARD_EXTERNAL_IDS": "strict"}, []),
        ({"ROOT_URLCONF": "tests.adapters.django.project", "MIDDLEWARE": []}, []),
    ],
)
def test_django_checks_tell_of_routes_without_ids(changed: Any, messages: list[str]) -> None:
    """`manage.py check` says so, and what to set."""
    given = {"ROOT_URLCONF": "tests.adapters.external.django_stage", "MIDDLEWARE": MIDDLEWARE, **changed}
    with override_settings(**given):
        found = [check for check in run_checks() if check.id == "sessionguard.E014"]
    assert [part for part in messages for check in found if part in check.msg] == messages
    assert len(found) == len(messages)


def test_django_view_awaits_its_session(tmp_path: Path) -> None:
    """`aexternal_session` gives the same session, once a request."""
    store: Any = open_store("memory://")
    app = DjangoApp(Backstage(store, tmp_path, evolve(IDS, caller=lambda request: "app-1"), Clock()))
    browser = Browser(app)
    browser.add("42", "report")
    app.back.store.asked()
    assert browser.get("/awaited", "_sid=42").text == "42"
    assert app.back.store.asked() == ["get_or_create"]
    assert browser.get("/awaited", "_sid=a&_sid=b").status == 400
    app.close()
    app.back.guard.close()


def test_django_engine_alone_is_told_the_remedy() -> None:
    """It reads no ids: the cookie, and who the visitor is, are Django's own there."""
    request = HttpRequest()
    with pytest.raises(MisuseError, match=r"MIDDLEWARE"):
        django_external_session(request)
