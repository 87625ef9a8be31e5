"""What the middleware sets and reads: the cookie, the headers, streamed responses."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import logout
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.test import override_settings

from sessionguard import current_session
from sessionguard.core.events import CookieRefused
from sessionguard.errors import SessionSealedError
from tests.adapters.django.browser import COOKIE, Browser
from tests.adapters.django.project import Project

pytestmark = pytest.mark.usefixtures("guarded")


# The cookie and the headers


@pytest.mark.usefixtures("counting")
def test_t37_the_cookie_is_set_once_with_its_flags(browser: Browser, project: Project) -> None:
    """`__Host-sg`, Secure, HttpOnly, Lax, for the whole host, as long as the session may live; never again unasked."""
    answer = browser.post("/count")
    morsel = answer.cookies[COOKIE]
    flags = {name: value for name, value in morsel.items() if value}
    expires = flags.pop("expires")
    assert flags == {"path": "/", "secure": True, "httponly": True, "samesite": "Lax"}
    assert expires.endswith("2030 00:00:00 GMT")
    assert len(morsel.value) == 32
    assert COOKIE not in browser.post("/count").cookies
    assert COOKIE not in browser.get("/read").cookies


@pytest.mark.parametrize("expiry, expires", [(0, ""), (300, "2030"), (timedelta(hours=1), "01:00:00 GMT")])
def test_t37_set_expiry_says_how_long_the_browser_keeps_it(
    browser: Browser, project: Project, expiry: Any, expires: str
) -> None:
    """Until it closes, until the session must end, or until the instant; a change of it sets a new token."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = 1

    @project.view
    def limit(request: HttpRequest) -> Any:
        request.session.set_expiry(expiry)

    browser.post("/fill")
    before = browser.token
    morsel = browser.post("/limit").cookies[COOKIE]
    assert browser.token != before
    assert expires in morsel["expires"] if expires else not morsel["expires"]


@pytest.mark.usefixtures("counting")
def test_t37_the_settings_may_say_how_long_the_browser_keeps_it(browser: Browser, project: Project) -> None:
    """SESSIONGUARD_COOKIE_MAX_AGE goes before what follows from the policy."""
    project.use(SESSIONGUARD_COOKIE_MAX_AGE=60)
    morsel = browser.post("/count").cookies[COOKIE]
    assert (morsel["max-age"], morsel["expires"]) == ("60", "")


@pytest.mark.usefixtures("counting")
def test_t37_the_cookie_may_be_partitioned(browser: Browser, project: Project) -> None:
    """With a flag that Python's own reader of cookies does not know, and for which it would drop the cookie."""
    project.use(SESSIONGUARD_COOKIE_PARTITIONED=True)
    written = browser.post("/count").cookies[COOKIE].OutputString()
    assert written.startswith(f"{COOKIE}={browser.token};")
    assert "; Partitioned" in written
    assert browser.post("/count").content == b"2"


def test_t23_set_expiry_holds_on_the_server(browser: Browser, project: Project) -> None:
    """At the instant there is no session any more, whatever the browser sends and the policy allows."""

    @project.view
    def limit(request: HttpRequest) -> Any:
        request.session["a"] = 1
        request.session.set_expiry(300)

    @project.view
    def read(request: HttpRequest) -> Any:
        return f"{request.session.get('a')} {sorted(request.session.keys())} {current_session() is not None}"

    browser.post("/limit")
    project.pass_time(timedelta(seconds=300) - timedelta(milliseconds=1))
    assert browser.get("/read").content == b"1 ['_session_expiry', 'a'] True"
    project.pass_time(timedelta(milliseconds=1))
    assert browser.get("/read").content == b"None [] False"


@override_settings(SESSION_SAVE_EVERY_REQUEST=True, SESSION_COOKIE_AGE=600)
@pytest.mark.usefixtures("counting")
def test_save_every_request_lets_a_session_live_on(browser: Browser, project: Project) -> None:
    """It slides with every request, also those that do not look at it; a write is due now and then only."""
    browser.post("/count")
    for path in ("/idle", "/read", "/idle"):
        project.pass_time(timedelta(minutes=8))
        browser.get(path)
    project.store.asked()
    assert browser.get("/read").content == b"1"
    assert project.store.asked() == ["load"]
    project.pass_time(timedelta(minutes=10))
    assert browser.get("/read").content == b"None"


@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.get("n"),
        lambda session: "n" in session,
        lambda session: session.keys(),
        lambda session: session.session_key,
        lambda session: session.is_empty(),
        lambda session: session.has_key("n"),
        lambda session: session.set_expiry(5),
        lambda session: session.flush(),
        lambda session: session.cycle_key(),
        lambda session: session.clear(),
    ],
)
def test_t39_t41_any_use_keeps_the_response_out_of_caches(
    browser: Browser, project: Project, use: Callable[[Any], Any]
) -> None:
    """Also the use of a session that is not there, on errors, redirects and other statuses, whatever the view says."""

    @project.view
    def view(request: HttpRequest) -> Any:
        use(request.session)
        kind = request.GET["kind"]
        if kind == "error":
            raise ValueError("planted")
        answer = HttpResponseRedirect("/") if kind == "302" else HttpResponse(status=int(kind))
        answer["Cache-Control"] = "public, max-age=600"
        answer["Vary"] = "Accept"
        return answer

    for kind in ("200", "302", "304", "404", "error"):
        for method in ("GET", "HEAD"):
            answer = browser.send(method, f"/view?kind={kind}")
            assert answer["Cache-Control"] == "private, no-store"
            assert "Cookie" in answer["Vary"]


@pytest.mark.usefixtures("counting")
def test_t39_what_uses_no_session_may_be_cached(browser: Browser, project: Project) -> None:
    """Its headers are left alone; so are those of a file."""

    @project.view
    def file(request: HttpRequest) -> Any:
        return FileResponse(open(__file__, "rb"))

    browser.post("/count")
    for path in ("/idle", "/file"):
        answer = browser.get(path)
        assert "Vary" not in answer
        assert "Cache-Control" not in answer
        answer.close()


def test_t39_a_stream_is_private_unless_it_was_made_public(kind: str, project: Project) -> None:
    """A body that is still to be made may look at the session; in a public one that is an error."""
    seen: list[Any] = []

    def body(request: HttpRequest) -> Iterator[bytes]:
        try:
            seen.append(request.session.get("n"))
        except SessionSealedError as error:
            seen.append(error)
        yield b""

    @project.view
    def private(request: HttpRequest) -> Any:
        return StreamingHttpResponse(body(request))

    @project.view
    def public(request: HttpRequest) -> Any:
        return StreamingHttpResponse(body(request), headers={"Cache-Control": "public"})

    browser = Browser("sync")
    answer = browser.get("/private")
    assert (answer["Cache-Control"], answer["Vary"]) == ("private, no-store", "Cookie")
    assert b"".join(answer) == b""
    answer = browser.get("/public")
    assert answer["Cache-Control"] == "public"
    assert b"".join(answer) == b""
    assert seen[0] is None
    assert isinstance(seen[1], SessionSealedError)


@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize(
    "header, is_found",
    [
        ("{ours}", True),
        ("a=1; {ours}; b=2", True),
        ('broken"="; {ours}', True),
        ('quoted="a; {ours}; b"', True),
        ("{ours}; {ours}", False),
        ("{ours}; __Host-sg=planted", False),
        ("=__Host-sg={token}", False),
        ("\u2000__Host-sg={token}".encode().decode("latin-1"), False),
        ("\x85__Host-sg={token}", False),
        ("\xa0__Host-sg={token}", False),
        ("__host-sg={token}", False),
        ('__Host-sg="{token}"', False),
    ],
)
def test_t38_only_one_cookie_of_exactly_our_name_counts(
    kind: str, project: Project, header: str, is_found: bool
) -> None:
    """Whatever lenient parsers make of other names and of two values, none of it is adopted, and an event tells."""
    owner, sender = Browser(kind), Browser(kind)
    owner.post("/count")
    project.events.clear()
    sent = header.format(ours=f"{COOKIE}={owner.token}", token=owner.token)
    answer = sender.get("/read", headers={"Cookie": sent})
    assert answer.content == (b"1" if is_found else b"None")
    assert project.session_count() == 1
    is_told = any(isinstance(event, CookieRefused) for event in project.events)
    assert is_told or is_found or header.startswith(("__host", '__Host-sg="'))


def test_t42_logout_ends_on_the_server_first(browser: Browser, project: Project) -> None:
    """The cookie is removed with equal flags and Clear-Site-Data; while the store is out of reach it is left."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = 1

    @project.view
    def leave(request: HttpRequest) -> Any:
        logout(request)

    browser.post("/fill")
    token = browser.token
    project.store.failing = {"end"}
    answer = browser.post("/leave")
    assert answer.status_code == 503
    assert COOKIE not in answer.cookies
    project.store.failing = set()
    answer = browser.post("/leave")
    flags = {name: value for name, value in answer.cookies[COOKIE].items() if value}
    assert flags == {
        "path": "/",
        "secure": True,
        "httponly": True,
        "samesite": "Lax",
        "max-age": "0",
        "expires": "Thu, 01 Jan 1970 00:00:00 GMT",
    }
    assert answer["Clear-Site-Data"] == '"cache", "storage"'
    assert project.guard.load(token) is None
