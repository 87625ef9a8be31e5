"""Binding the middleware, who a visitor is to it, requests at the same time, and what is current where."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from wsgiref.types import StartResponse

import pytest

from sessionguard import AsyncSessionGuard, SessionGuard, current_session
from sessionguard.adapters.modes import READ_ONLY, Mode
from sessionguard.adapters.visits import Visit
from sessionguard.adapters.wsgi import SESSION, VISIT, SessionGuardMiddleware
from sessionguard.core.events import CookieRefused, Event
from sessionguard.errors import ConfigurationError, MisuseError
from tests.adapters.wsgi.browser import Browser
from tests.adapters.wsgi.conftest import Wired

TEXT = [("Content-Type", "text/plain")]


def answering(view: Callable[[Visit, Any, str], object]) -> Any:
    """Give the application that answers what `view` makes of the visit, the data and the path."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        body = str(view(environ[VISIT], environ[SESSION], environ["PATH_INFO"]))
        start_response("200 OK", TEXT)
        return [body.encode()]

    return app


@answering
def shop(visit: Visit, fields: Any, path: str) -> object:
    """Put things into a cart, log in and out, and see who one is."""
    match path.split("/")[1:]:
        case ["put", thing]:
            fields["cart"] = [*fields.get("cart", []), thing]
        case ["login", owner]:
            visit.login(owner)
        case ["logout"]:
            visit.logout()
        case ["upload"]:
            return visit.new_session("upload").id
        case ["upload", upload_id]:
            found = visit.own_session(upload_id, "upload")
            return found and found.id
    session = current_session()
    return dict(fields) if session is None else (session.owner, dict(fields))


# Visitors


def test_login_and_logout(wired: Wired) -> None:
    """The cart survives the login, the token does not; a logout ends the session and takes the cookie back."""
    browser = Browser(wired(shop))
    browser.get("/put/lamp")
    planted = dict(browser.cookies)
    assert browser.get("/login/ana").text == "('ana', {'cart': ['lamp']})"
    assert browser.cookies != planted
    token = dict(browser.cookies)
    reply = browser.get("/logout")
    assert reply["Clear-Site-Data"] == '"cache", "storage"'
    assert reply["Set-Cookie"] == (
        "__Host-sg=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert Browser(wired(shop), token).get("/").text == "{}"


def test_uploads_of_one_visitor_are_sessions_of_their_own(wired: Wired) -> None:
    """Each upload gets an id that nobody else can use."""
    ana, bob = Browser(wired(shop)), Browser(wired(shop))
    bob.get("/put/lamp")
    uploads = [ana.get("/upload").text for _ in range(5)]
    assert len(set(uploads)) == 5
    assert [ana.get(f"/upload/{upload}").text for upload in uploads] == uploads
    assert {bob.get(f"/upload/{upload}").text for upload in uploads} == {"None"}


@pytest.mark.parametrize("headers", ["__Host-sg={0}; __Host-sg=planted", "__Host-sg=planted; __Host-sg={0}"])
def test_t38_two_cookies_are_nobody_and_an_event(wired: Wired, headers: str) -> None:
    """One was planted, and nothing tells which."""
    events: list[Event] = []
    wired.guard.subscribe(events.append)
    token = wired.guard.create("ana").token or ""
    assert Browser(wired(shop)).get("/", HTTP_COOKIE=headers.format(token)).text == "{}"
    assert CookieRefused("several cookies") in events


def test_token_may_travel_in_a_header(wired: Wired) -> None:
    """Clients that are no browsers get and send it in a header, by which the responses vary."""
    client = Browser(wired(shop, config={"SESSIONGUARD_TRANSPORT": "header"}))
    token = client.get("/put/lamp")["SessionGuard-Token"]
    reply = client.get("/", HTTP_SESSIONGUARD_TOKEN=token)
    assert "lamp" in reply.text
    assert reply["Vary"] == "SessionGuard-Token"
    assert client.get("/logout", HTTP_SESSIONGUARD_TOKEN=token)["SessionGuard-Token"] == ""


# Requests at the same time


@answering
def count(visit: Visit, fields: Any, path: str) -> object:
    """Count up."""
    fields["n"] = fields.get("n", 0) + 1
    return fields["n"]


@pytest.mark.parametrize("concurrency", ["serial", "strict"])
def test_increments_are_kept_or_refused(wired: Wired, concurrency: Any) -> None:
    """In serial mode every increment is kept; in strict mode a lost one is answered 409."""
    app = wired(count, concurrency=concurrency)
    first = Browser(app)
    first.get()
    start = Barrier(4, timeout=30)

    def run(_: int) -> list[int]:
        start.wait()
        return [Browser(app, dict(first.cookies)).get().status for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        statuses = [status for found in pool.map(run, range(4)) for status in found]
    (stored,) = wired.guard.sessions()
    assert stored.data["n"] == 1 + statuses.count(200)
    assert set(statuses) <= ({200} if concurrency == "serial" else {200, 409})


def test_serial_wait_is_bounded_and_may_be_left_to_others(wired: Wired) -> None:
    """Who waits too long is answered 503; a request that only reads waits for nobody, and is held to it."""

    def mode_for(environ: dict[str, Any]) -> Mode | None:
        return READ_ONLY if environ["PATH_INFO"].startswith("/progress") else None

    app = wired(
        answering(lambda visit, fields, path: fields.update(n=1) if path.endswith("/write") else fields.get("n")),
        concurrency="serial",
        config={"SESSIONGUARD_LOCK_TIMEOUT": 0.05},
        mode_for=mode_for,
    )
    browser = Browser(app)
    browser.get("/write")
    (held,) = wired.guard.sessions()
    with wired.guard.lock(held, "request"):
        reply = browser.get("/other")
        assert (reply.status, reply["Retry-After"]) == (503, "1")
        assert browser.get("/progress").text == "1"
    assert MisuseError.__name__ in browser.get("/progress/write").log


def test_turn_is_given_back_however_the_request_ends(wired: Wired) -> None:
    """The next request runs, though this one failed, or its client went away before the response began."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Any:
        if environ["PATH_INFO"] == "/fail":
            raise ZeroDivisionError
        return late(environ, start_response)

    def late(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        environ[SESSION]["n"] = 1
        start_response("200 OK", TEXT)
        yield b"ok"

    guarded = wired(app, concurrency="serial", config={"SESSIONGUARD_LOCK_TIMEOUT": 0.2})
    browser = Browser(guarded)
    browser.get()
    assert browser.get("/fail").status == 500
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    environ = {"HTTP_COOKIE": cookie, "PATH_INFO": "/", "wsgi.url_scheme": "https"}
    guarded(environ, lambda *_: lambda _: None).close()  # type: ignore[attr-defined]
    assert browser.get().text == "ok"


# What is current


def test_t09_session_is_current_inside_and_nowhere_else(wired: Wired) -> None:
    """Two responses that one thread sends in turns see each its own visitor; between them, and after, there is none."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for _ in range(2):
            found = current_session()
            yield b"nobody" if found is None else found.owner.encode()

    guarded = wired(app)
    bodies = []
    for owner in ("ana", "bob"):
        cookie = f"__Host-sg={wired.guard.create(owner).token}"
        environ = {"HTTP_COOKIE": cookie, "wsgi.url_scheme": "https"}
        bodies.append(guarded(environ, lambda *_: lambda _: None))
    sent = []
    for _ in range(2):
        for body in bodies:
            sent.append(next(iter(body)))
            assert current_session() is None
    assert sent == [b"ana", b"bob", b"ana", b"bob"]
    for body in bodies:
        body.close()  # type: ignore[attr-defined]
    assert current_session() is None


@pytest.mark.parametrize("path", ["/fail", "/list", "/stream"])
def test_t09_no_session_is_left_behind_in_a_thread(wired: Wired, path: str) -> None:
    """The next code in a server's thread sees no session, also after an error."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Any:
        environ[VISIT].login("ana")
        assert current_session() is not None
        if path == "/fail":
            raise ZeroDivisionError
        start_response("200 OK", TEXT)
        return [b"ok"] if path == "/list" else iter([b"ok"])

    with ThreadPoolExecutor(1) as server:
        server.submit(Browser(wired(app)).get, path).result()
        assert server.submit(current_session).result() is None


def _noting(heads: list[Any]) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        heads.append((status, headers))
        return lambda _: None

    return start


def test_application_called_with_the_same_environ_keeps_to_its_own_session(wired: Wired) -> None:
    """A guarded application inside a guarded one serves its own session, and gives the environment back."""
    inner = wired(shop, config={"SESSIONGUARD_COOKIE_NAME": "__Host-inner", "SESSIONGUARD_SCOPE": "inner"})

    def outer(environ: dict[str, Any], start_response: StartResponse) -> Any:
        environ[SESSION]["outer"] = 1
        mine, heads = environ[SESSION], list[Any]()
        text = b"".join(inner(environ, _noting(heads)))
        assert environ[SESSION] is mine
        environ[SESSION]["late"] = 1
        start_response("200 OK", heads[0][1])
        return [text]

    browser = Browser(wired(outer))
    assert browser.get("/put/lamp").text == "{'cart': ['lamp']}"
    assert browser.cookies.keys() == {"__Host-inner", "__Host-sg"}
    assert sorted(sorted(session.data) for session in wired.guard.sessions()) == [["cart"], ["late", "outer"]]


# Settings


def test_guard_may_come_from_settings(tmp_path: Path) -> None:
    """Any mapping serves, such as a part of the framework's configuration; other keys in it are left alone."""
    config = {
        "DEBUG": True,
        "SESSIONGUARD_URL": f"sqlite:///{tmp_path}/sessions.db",
        "SESSIONGUARD_IDLE_TIMEOUT": timedelta(minutes=1),
        "SESSIONGUARD_COOKIE_SECURE": False,
    }
    app = SessionGuardMiddleware(shop, config=config)
    browser = Browser(app)
    assert browser.get("/put/lamp")["Set-Cookie"].startswith("sg=")
    (stored,) = app.guard.sessions()
    assert stored.expires_at - stored.last_seen_at == timedelta(minutes=1)
    app.guard.close()


def test_mode_of_a_request_must_be_one() -> None:
    """Text, as the application's own mode is, is told what to write instead."""
    with SessionGuard.open("memory://") as guard:
        reply = Browser(SessionGuardMiddleware(shop, guard, mode_for=lambda _: "serial")).get("/")  # type: ignore[arg-type, return-value]
    assert reply.status == 500
    assert "mode_for = 'serial': have mode_for give Mode" in reply.log


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: SessionGuardMiddleware(shop), "SESSIONGUARD_URL"),
        (lambda: SessionGuardMiddleware(shop, AsyncSessionGuard.open("memory://")), "give a SessionGuard"),  # type: ignore[arg-type]
        (lambda: SessionGuardMiddleware(shop, "memory://"), "SessionGuard.open(url)"),  # type: ignore[arg-type]
        (lambda: SessionGuardMiddleware(SessionGuard.open("memory://"), shop), "the WSGI application comes first"),  # type: ignore[arg-type]
        (lambda: SessionGuardMiddleware(shop, config={"SESSIONGUARD_URLS": "memory://"}), "is SESSIONGUARD_URL meant"),
        (lambda: SessionGuardMiddleware(shop, config={"SESSIONGUARD_EXTERNAL_IDS": "strict"}), "no such setting"),
        (
            lambda: SessionGuardMiddleware(shop, SessionGuard.open("memory://"), concurrency="parallel"),  # type: ignore[arg-type]
            '"merge", "strict" or "serial"',
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(make: Callable[[], object], says: str) -> None:
    """A guard that must be awaited, swapped arguments and misspelt settings are told before anything is served."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert says in str(caught.value)
