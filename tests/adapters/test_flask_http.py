"""What a Flask application with sessionguard sends and accepts over HTTP."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Response, abort, redirect, session, stream_with_context
from werkzeug.exceptions import HTTPException

from sessionguard import current_session
from sessionguard.adapters import http
from sessionguard.core.events import CookieRefused, SessionCreated, TokenRejected
from sessionguard.errors import SessionGuardError, StoreUnavailableError
from tests.adapters.conftest import BuildSite
from tests.adapters.site import Site


def is_private(response: Any) -> bool:
    """Whether no shared cache may keep `response`, and a private one only per cookie."""
    caching = [response.headers.getlist(name) for name in ("Vary", "Cache-Control")]
    return caching == [["Cookie"], ["private, no-store"]]


@pytest.fixture
def opened(site: Site) -> str:
    """Give the token of an open session that holds `a`."""

    @site.view
    def read() -> dict[str, Any]:
        return dict(session)

    token = site.guard.create(data={"a": 1}).token
    assert token is not None
    return token


def test_t37_set_cookie_is_exactly_this(build: BuildSite) -> None:
    """The cookie has the attributes of the settings, and nothing else."""
    site = build(SESSIONGUARD_COOKIE_NAME="__Secure-x", SESSIONGUARD_COOKIE_DOMAIN="example.org")
    plain = build(SESSIONGUARD_COOKIE_SECURE=False, SESSIONGUARD_COOKIE_SAMESITE="Strict")
    default = build()
    for each in (site, plain, default):

        @each.view
        def write() -> str:
            session["a"] = 1
            return ""

    def cookie(each: Site) -> tuple[str, str]:
        name, _, rest = each.client().get("/write").headers["Set-Cookie"].partition("=")
        return name, rest[rest.index(";") :]

    assert cookie(site) == ("__Secure-x", "; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax")
    assert cookie(plain) == ("sg", "; Path=/; HttpOnly; SameSite=Strict")
    assert cookie(default) == ("__Host-sg", "; Path=/; Secure; HttpOnly; SameSite=Lax")


def test_set_cookie_comes_only_with_a_new_token(site: Site) -> None:
    """Reading, writing and touching an open session set no cookie, so no late response undoes a newer one."""

    @site.view
    def write() -> str:
        session["n"] = session.get("n", 0) + 1
        return ""

    client = site.client()
    assert "Set-Cookie" in client.get("/write").headers
    for _ in range(3):
        site.clock.advance(timedelta(minutes=10))
        assert "Set-Cookie" not in client.get("/write").headers


BAD_HEADERS = [
    "__Host-sg={t}; __Host-sg={t}",
    "__Host-sg={t}; __Host-sg=x",
    "__Host-sg=x; __Host-sg={t}",
    "=__Host-sg={t}",
    "\xe2\x80\x80__Host-sg={t}",
    "\x85__Host-sg={t}",
    "\xa0__Host-sg={t}",
    '__Host-sg="{t}"',
    "__Host-sg={t}\xa0",
    "__Host-sg={t},",
    "__host-sg={t}",
    "__Host-sg= {t}",
]


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_t38_ambiguous_cookie_is_nobody(site: Site, opened: str, header: str) -> None:
    """What only some parsers would take for our cookie leads to no session."""
    response = site.sender().get("/read", headers={"Cookie": header.format(t=opened)})
    assert (response.status_code, response.json) == (200, {})
    assert is_private(response)
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("header", BAD_HEADERS[:8])
def test_t38_ambiguous_cookie_is_an_event(site: Site, opened: str, header: str) -> None:
    """Whoever listens learns of it, without the token."""
    site.sender().get("/read", headers={"Cookie": header.format(t=opened)})
    refusals = [event for event in site.events if isinstance(event, CookieRefused | TokenRejected)]
    assert len(refusals) == 1
    assert opened not in repr(refusals)


@pytest.mark.parametrize(
    "header", ['broken; =; "x=1; __Host-sg={t}', "\xff=\x01; __Host-sg={t}", "=__Host-sg=x; __Host-sg={t}"]
)
def test_t38_our_cookie_is_found_behind_malformed_ones(site: Site, opened: str, header: str) -> None:
    """The cookies of other applications do not take ours away."""
    response = site.sender().get("/read", headers={"Cookie": header.format(t=opened)})
    assert response.json == {"a": 1}


def stream_later() -> Response:
    """A body that reads the session when the headers are sent already."""

    def body() -> Any:
        yield str(session.get("a"))

    return Response(stream_with_context(body()))


def _delete() -> str:
    session.pop("a", None)
    return ""


def _not_modified() -> Response:
    response = Response(str(len(session)), status=304)
    response.set_etag("x")
    return response


USES: dict[str, Callable[[], Any]] = {
    "read": lambda: str(session.get("a")),
    "item": lambda: str(session["a"]) if session else "",
    "in": lambda: str("a" in session),
    "len": lambda: str(len(session)),
    "bool": lambda: str(bool(session)),
    "iterate": lambda: str(list(session)),
    "equal": lambda: str(session == {}),
    "new": lambda: str(session.new),
    "permanent": lambda: str(session.permanent),
    "current": lambda: str(current_session()),
    "write": lambda: session.update(a=2) or "",
    "write same": lambda: session.update(a=1) or "",
    "delete": _delete,
    "error": lambda: len(session) / 0,
    "abort": lambda: abort(404 if "a" in session else 403),
    "redirect": lambda: redirect("/elsewhere" if session else "/"),
    "not modified": _not_modified,
    "stream": lambda: Response(iter([str(session.get("a"))])),
    "stream later": stream_later,
}


@pytest.mark.parametrize("use", USES)
def test_t39_every_use_makes_the_response_private(site: Site, opened: str, use: str) -> None:
    """However the session is used, and whether there is one or not, no cache may give the response to another."""

    @site.view
    def view() -> Any:
        return USES[use]()

    for headers in ({"Cookie": f"__Host-sg={opened}"}, {}):
        for method in ("GET", "HEAD", "POST"):
            assert is_private(site.sender().open("/view", method=method, headers=headers)), method


def test_t39_touch_alone_makes_the_response_private(site: Site, opened: str) -> None:
    """A load that extended the session is a use."""
    site.clock.advance(timedelta(minutes=30))
    assert is_private(site.sender().get("/read", headers={"Cookie": f"__Host-sg={opened}"}))


def test_t39_error_page_after_a_failing_after_request_is_private(site: Site, opened: str) -> None:
    """The page that Flask sends without saving the session may show who is logged in."""

    @site.app.after_request
    def fail(response: Response) -> Response:
        raise ZeroDivisionError

    @site.app.errorhandler(500)
    def page(error: Exception) -> tuple[str, int]:
        return f"sorry, {session.get('a')}", 500

    response = site.sender().get("/read", headers={"Cookie": f"__Host-sg={opened}"})
    assert (response.status_code, response.text) == (500, "sorry, 1")
    assert is_private(response)


def test_t41_public_is_overridden(site: Site, opened: str) -> None:
    """A view that used the session cannot make its response public, by no header that caches know."""

    @site.view
    def view() -> Response:
        response = Response(str(session.get("a")), headers={"Vary": "Accept", "CDN-Cache-Control": "max-age=60"})
        response.cache_control.public = True
        response.cache_control.max_age = 600
        response.headers["X-Accel-Expires"] = "60"
        return response

    response = site.sender().get("/view", headers={"Cookie": f"__Host-sg={opened}"})
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.headers["Vary"] == "Accept, Cookie"
    assert not {"CDN-Cache-Control", "X-Accel-Expires"} & set(response.headers.keys())


def test_t41_public_stays_where_no_session_was_used(site: Site, opened: str) -> None:
    """A response that does not depend on the session is cached as its view says, streamed or not."""

    @site.view
    def view() -> Response:
        return Response(iter(["public"]), headers={"Cache-Control": "public, max-age=600"})

    response = site.sender().get("/view", headers={"Cookie": f"__Host-sg={opened}"})
    assert response.headers["Cache-Control"] == "public, max-age=600"
    assert "Vary" not in response.headers


def test_t41_public_stream_cannot_use_the_session_later(site: Site, opened: str) -> None:
    """A body that was declared public and then reads the session is cut off instead of being cached."""

    @site.view
    def view() -> Response:
        response = stream_later()
        response.cache_control.public = True
        return response

    with pytest.raises(SessionGuardError, match="sealed"):
        site.sender().get("/view", headers={"Cookie": f"__Host-sg={opened}"}).get_data()


def _damaged(token: str) -> list[str]:
    damaged = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]
    damaged += [token[:length] for length in (0, 1, 4, 20, len(token) - 1)]
    damaged += [token + "A", token * 2, token.upper(), "sg1_k_" + token[6:], "sg2" + token[3:], token + "\x00"]
    return [*damaged, "\xe9" * 51, "x" * 100_000, "a.b.c", "null", "undefined", "{}", "' OR 1=1 --", "../../etc"]


def test_t30_damaged_tokens_all_look_the_same(site: Site, opened: str) -> None:
    """Whatever is wrong with a token, the answer is that of a visitor without one."""
    nobody = site.sender().get("/read")
    for token in _damaged(opened):
        response = site.sender().get("/read", headers={"Cookie": f"__Host-sg={token}"})
        assert (response.status_code, response.text, list(response.headers)) == (
            nobody.status_code,
            nobody.text,
            list(nobody.headers),
        ), token


def test_t30_refused_token_is_never_adopted(site: Site, opened: str) -> None:
    """A visitor who comes with a token that leads nowhere gets another one when something is to be kept."""

    @site.view
    def write() -> str:
        session["b"] = 1
        return ""

    wanted = opened[:-1] + ("A" if opened[-1] != "A" else "B")
    response = site.sender().post("/write", headers={"Cookie": f"__Host-sg={wanted}"})
    assert wanted not in response.headers["Set-Cookie"]
    assert site.guard.load(wanted) is None


def test_t36_token_is_nowhere_but_in_the_cookie(
    site: Site, opened: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Logs, representations, tracebacks and error pages, even those of debug mode, do not show a token."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    @site.view
    def fail() -> str:
        session["b"] = 1
        opened_now = site.extension.login("ana")
        kept = session._get_current_object()  # type: ignore[attr-defined]
        shown.extend(map(repr, (session, kept, kept.visit, opened_now, current_session(), site.guard, site.events)))
        raise ZeroDivisionError

    @site.view
    def refuse() -> str:
        session["b"] = 2
        site.guard.end(site.extension.own_session(current_session().id))  # type: ignore[arg-type, union-attr]
        return ""

    client = site.client()
    client.set_cookie("__Host-sg", opened)
    responses = [client.get("/fail"), client.get("/refuse"), client.get("/read")]
    tokens = {
        opened,
        *(c.partition("=")[2].partition(";")[0] for r in responses for c in r.headers.getlist("Set-Cookie")),
    }
    assert len(tokens) == 2
    text = "\n".join([caplog.text, *capsys.readouterr(), *shown, *(response.text for response in responses)])
    assert "ZeroDivisionError" in text
    assert "session_ended" in text
    for token in tokens:
        assert token not in text
        assert token[9:40] not in text


def test_t60_outage_is_503_and_opens_nothing(site: Site, opened: str) -> None:
    """A store that cannot be asked never makes a visitor anonymous; the cookie stays."""

    @site.view
    def view() -> str:
        session["a"] = 2
        return ""

    for verb in ("load", "save"):
        site.store.failing = {verb}
        response = site.sender().post("/view", headers={"Cookie": f"__Host-sg={opened}"})
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "Set-Cookie" not in response.headers
        assert is_private(response)
    site.store.failing = {"create"}
    response = site.client().post("/view")
    assert (response.status_code, "Set-Cookie" in response.headers) == (503, False)
    site.store.failing = set()
    assert site.session_count() == 1
    assert site.sender().get("/read", headers={"Cookie": f"__Host-sg={opened}"}).json == {"a": 1}


def test_t60_outage_is_asked_about_once_per_request(site: Site, opened: str) -> None:
    """A view that catches the error and looks again does not wait for the store again, nor gets another answer."""

    @site.view
    def view() -> str:
        for _ in range(3):
            with pytest.raises(StoreUnavailableError):
                session.get("a")
        return "still here"

    site.store.failing = {"load"}
    site.store.asked()
    response = site.sender().get("/view", headers={"Cookie": f"__Host-sg={opened}"})
    assert response.text == "still here"
    assert site.store.asked() == ["load"]


def test_error_pages_of_the_application_are_used(site: Site) -> None:
    """A handler for the status, or for HTTP errors in general, gives its page for our errors, too."""

    @site.app.errorhandler(HTTPException)
    def page(error: HTTPException) -> tuple[dict[str, Any], int]:
        return {"error": error.code}, error.code or 500

    @site.view
    def login() -> str:
        site.extension.login("")
        return ""

    response = site.client().post("/login")
    assert (response.status_code, response.json) == (400, {"error": 400})


@pytest.mark.parametrize("kind", [StoreUnavailableError, SessionGuardError])
def test_handler_of_the_application_wins(site: Site, opened: str, kind: type[SessionGuardError]) -> None:
    """An application that handles an error of ours itself is not overruled, in the view or at the save."""

    @site.app.errorhandler(kind)
    def own(error: Exception) -> tuple[str, int]:
        return "own page", 418

    @site.view
    def view() -> str:
        session["a"] = 2
        return ""

    for verb in ("load", "save"):
        site.store.failing = {verb}
        response = site.sender().post("/view", headers={"Cookie": f"__Host-sg={opened}"})
        assert (response.status_code, response.text) == (418, "own page")


def test_too_much_data_is_413(site: Site) -> None:
    """What does not fit is refused, and nothing of it is stored."""

    @site.view
    def view() -> str:
        session["a"] = "x" * 300_000
        return ""

    assert site.client().post("/view").status_code == 413
    assert site.session_count() == 0


def test_token_of_another_scope_is_refused(build: BuildSite) -> None:
    """Two applications on one store do not take each other's visitors for their own."""
    site = build(SESSIONGUARD_SCOPE="shop")

    @site.view
    def view() -> str:
        session.setdefault("a", 1)
        return str(session.get("b", ""))

    other = site.guard.create("ana", scope="admin", data={"b": "secret"})
    response = site.sender().get("/view", headers={"Cookie": f"__Host-sg={other.token}"})
    assert response.text == ""
    (created,) = (event for event in site.events if isinstance(event, SessionCreated) and event.scope == "shop")
    assert created.owner != "ana"


def test_secure_cookie_over_plain_http_is_told_once(build: BuildSite, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever tries an application without HTTPS reads why the cookie does not come back, and what to set."""
    http.warn_of_lost_cookie.cache_clear()
    site, insecure = build(), build(SESSIONGUARD_COOKIE_SECURE=False)
    for tried in (site, insecure):

        @tried.view
        def put() -> str:
            session["cart"] = [1]
            return ""

    insecure.client().post("/put")
    site.client().post("/put", base_url="https://localhost")
    site.client().post("/put", headers={"X-Forwarded-Proto": "https"})
    assert caplog.messages == []
    site.client().post("/put")
    site.client().post("/put")
    (message,) = caplog.messages
    assert "SESSIONGUARD_COOKIE_SECURE=False" in message
