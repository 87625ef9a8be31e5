"""The middleware: one question, a safe cookie, safe headers, honest answers; blocking and async alike."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext
from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import SynchronousOnlyOperation
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.views import View

from sessionguard import current_session
from sessionguard.adapters.django.engine import SessionStore
from sessionguard.adapters.django.session import VisitedSession
from sessionguard.adapters.modes import concurrency, read_only
from sessionguard.adapters.visits import REQUEST_LOCK
from sessionguard.core.events import CookieRefused
from sessionguard.errors import MisuseError, SessionEndedError, SessionSealedError
from sessionguard.testing import Profile
from tests.adapters.django.project import Project

COOKIE = "__Host-sg"
OURS = "sessionguard.adapters.django.middleware.SessionGuardMiddleware"
MIDDLEWARE = [
    OURS,
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]


@pytest.fixture(autouse=True)
def _middleware() -> Iterator[None]:
    """Have the project use ours instead of Django's."""
    with override_settings(MIDDLEWARE=MIDDLEWARE, SESSION_COOKIE_NAME=COOKIE):
        yield


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


@pytest.fixture
def kind(store_kind: str) -> str:
    """How Django handles requests: one way on each store."""
    return "sync" if store_kind == "sqlite" else "async"


@pytest.fixture
def browser(kind: str, project: Project) -> Browser:
    """A browser without cookies."""
    return Browser(kind)


@pytest.fixture
def counting(project: Project) -> None:
    """A view that counts its posts in the session, and one that reads the count."""

    @project.view
    def count(request: HttpRequest) -> Any:
        request.session["n"] = request.session.get("n", 0) + 1
        return request.session["n"]

    @project.view
    def read(request: HttpRequest) -> Any:
        return request.session.get("n")

    @project.view
    def idle(request: HttpRequest) -> Any:
        return ""


# What it costs


@pytest.mark.usefixtures("counting")
def test_one_question_a_request_and_one_for_a_change(browser: Browser, project: Project) -> None:
    """However often views ask, the store is asked once; a request that uses no session asks nothing."""

    @project.view
    def look(request: Any) -> Any:
        seen = {request.session["n"], *request.session.values(), current_session().data["n"]}  # type: ignore[union-attr]
        return f"{seen} {request.sessionguard.session().id == current_session().id} {request.session.keys()}"  # type: ignore[union-attr]

    assert browser.post("/count").content == b"1"
    assert project.store.asked() == ["create"]
    assert browser.post("/count").content == b"2"
    assert project.store.asked() == ["load", "save"]
    assert browser.get("/look").content.startswith(b"{2} True")
    assert project.store.asked() == ["load"]
    browser.get("/idle")
    assert project.store.asked() == []


def test_fields_changed_in_place_are_stored_and_others_stay(browser: Browser, project: Project) -> None:
    """A nested list that was appended to is stored; what another request stored meanwhile survives."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session.update({"cart": ["tea"], "gone": 1})

    @project.view
    def append(request: HttpRequest) -> Any:
        request.session["cart"].append("milk")
        request.session.pop("gone")
        [session] = project.guard.sessions()
        project.guard.save(session, {"meanwhile": True})

    @project.view
    def read(request: HttpRequest) -> Any:
        return sorted(request.session.items())

    browser.post("/fill")
    browser.post("/append")
    assert browser.get("/read").content == b"[('cart', ['tea', 'milk']), ('meanwhile', True)]"


def test_what_was_declared_unmodified_is_discarded_and_nothing_else(browser: Browser, project: Project) -> None:
    """Popping a field that is not there declares nothing; `modified = False` after a change does."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["cart"] = ["tea"]

    @project.view
    def append(request: HttpRequest) -> Any:
        cart = request.session["cart"]
        request.session.pop("nothing", None)
        cart.append("milk")
        return request.session.modified

    @project.view
    def discard(request: HttpRequest) -> Any:
        request.session["cart"].append("salt")
        request.session.modified = False
        return request.session.modified

    @project.view
    def read(request: HttpRequest) -> Any:
        return f"{request.session['cart']} {request.session.modified}"

    browser.post("/fill")
    assert browser.post("/append").content == b"True"
    assert browser.post("/discard").content == b"False"
    assert browser.get("/read").content == b"['tea', 'milk'] False"


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


def test_t11_a_blocking_stream_is_cut_off_when_its_session_ends(project: Project) -> None:
    """Nothing that was made afterwards is sent; an outage of the store meanwhile is no end."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=0.000_001)
    sent: list[bytes] = []

    def body() -> Iterator[bytes]:
        yield b"before"
        project.store.failing = {"get"}
        yield b"outage"
        project.store.failing = set()
        [session] = project.guard.sessions()
        project.guard.end(session)
        yield b"after"

    @project.view
    def stream(request: HttpRequest) -> Any:
        request.session["a"] = 1
        return StreamingHttpResponse(body())

    answer = Browser("sync").post("/stream")
    with pytest.raises(SessionEndedError):
        sent.extend(answer)
    assert sent == [b"before", b"outage"]


def test_t11_an_async_stream_is_cut_off_when_its_session_ends(project: Project) -> None:
    """Also while it waits for what never comes; its own clean-up runs."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=0.01)
    seen: list[Any] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"before"
            [session] = project.guard.sessions()
            project.guard.end(session)
            await asyncio.Event().wait()
            yield b"never"
        finally:
            seen.append("closed")

    @project.view
    async def stream(request: HttpRequest) -> Any:
        await request.session.aset("a", 1)
        return StreamingHttpResponse(body())

    async def scene() -> None:
        answer: Any = await AsyncClient().post("/async/stream")
        async for part in answer.streaming_content:
            seen.append(part)

    with pytest.raises(SessionEndedError):
        asyncio.run(scene())
    assert seen == [b"before", "closed"]


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


# Errors


@pytest.mark.usefixtures("counting")
def test_t48_an_outage_is_503_and_never_a_new_session(browser: Browser, project: Project) -> None:
    """In a view, at the end of a request, and where another middleware asks; with a word on when to try again."""

    @project.view
    def who(request: HttpRequest) -> Any:
        return request.user.pk

    browser.post("/count")
    for failing, path in (
        ({"load"}, "/read"),
        ({"load"}, "/who"),
        ({"save"}, "/count"),
        ({"load", "create"}, "/count"),
    ):
        project.store.failing = failing
        answer = browser.post(path)
        assert answer.status_code == 503
        assert answer["Retry-After"] == "5"
        assert answer["Cache-Control"] == "private, no-store"
        assert COOKIE not in answer.cookies
    project.store.failing = set()
    assert project.session_count() == 1
    project.store.failing = {"load"}
    with override_settings(CSRF_USE_SESSIONS=True):
        assert Browser(browser.kind, browser.token).post("/read").status_code == 503
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]):
        assert Browser(browser.kind, browser.token).post("/read").status_code == 503


def test_t20_a_slow_request_meets_the_logout(browser: Browser, project: Project) -> None:
    """What it would have stored is refused with 409, and no cookie is set."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = 1

    @project.view
    def slow(request: HttpRequest) -> Any:
        request.session["b"] = 1
        [session] = project.guard.sessions()
        project.guard.end(session)
        if "save" in request.GET:
            with pytest.raises(UpdateError):
                request.session.save()

    browser.post("/fill")
    answer = browser.post("/slow?save")
    assert answer.status_code == 409
    assert COOKIE not in answer.cookies
    assert list(project.guard.sessions()) == []


def test_what_cannot_be_stored_is_an_error_of_the_program(browser: Browser, project: Project) -> None:
    """500, with safe headers, and nothing stored."""

    @project.view
    def write(request: HttpRequest) -> Any:
        request.session["when"] = object()

    answer = browser.post("/write")
    assert answer.status_code == 500
    assert answer["Cache-Control"] == "private, no-store"
    assert project.session_count() == 0


def test_a_failed_request_stores_nothing(browser: Browser, project: Project) -> None:
    """As with Django's own middleware."""

    @project.view
    def fail(request: HttpRequest) -> Any:
        request.session["a"] = 1
        return HttpResponse(status=502)

    assert browser.post("/fail").status_code == 502
    assert project.session_count() == 0


# After the response


def test_t08_the_session_is_sealed_after_the_response(browser: Browser, project: Project) -> None:
    """Writing to it from a thread or a later request is refused, and reaches nobody."""
    kept: list[Any] = []

    @project.view
    def keep(request: Any) -> Any:
        request.session["a"] = 1
        kept.append(request)

    browser.post("/keep")
    [request] = kept
    with pytest.raises(SessionSealedError):
        request.session["b"] = 2
    with pytest.raises(SessionSealedError):
        request.session.clear()
    with pytest.raises(SessionSealedError):
        request.sessionguard.login("eve")
    with pytest.raises(SessionSealedError):
        request.session.flush()
    assert [dict(found.data)["a"] for found in project.guard.sessions()] == [1]


def test_t09_no_session_is_left_to_other_code(browser: Browser, project: Project) -> None:
    """After a request, and in threads of their own, there is no current session."""
    seen: list[Any] = []

    @project.view
    def spawn(request: HttpRequest) -> Any:
        request.session["a"] = 1
        thread = threading.Thread(target=lambda: seen.append(current_session()))
        thread.start()
        thread.join()

    browser.post("/spawn")
    assert seen == [None]
    assert current_session() is None


@pytest.mark.usefixtures("counting")
def test_t26_t43_nothing_is_opened_unasked(browser: Browser, project: Project) -> None:
    """Reads, unknown tokens, logouts and look-alikes leave no row and set no cookie, by any method."""

    @project.view
    def leave(request: HttpRequest) -> Any:
        request.session.flush()

    for number in range(10):
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            browser.token = f"sgabc{number:027d}"
            for path in ("/read", "/idle", "/leave"):
                answer = browser.send(method, path)
                assert not answer.cookies.get(COOKIE) or not answer.cookies[COOKIE].value
    assert project.session_count() == 0


def test_t45_t46_only_the_cookie_carries_a_token(browser: Browser, project: Project) -> None:
    """A token in the address, the body or another header opens nothing."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["n"] = 1

    @project.view
    def read(request: HttpRequest) -> Any:
        return request.session.get("n")

    browser.post("/fill")
    token = browser.token
    stranger = Browser(browser.kind)
    for answer in (
        stranger.get(f"/read?sid={token}&{COOKIE}={token}&session_key={token}"),
        stranger.post("/read", data={COOKIE: token}),
        stranger.get("/read", headers={"X-Session": str(token), "Authorization": f"Bearer {token}", "X-User-ID": "1"}),
    ):
        assert answer.content == b"None"


@override_settings(DEBUG=True)
def test_t36_error_pages_and_logs_show_no_token(
    browser: Browser, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even Django's page for developers, which shows the cookies of the request; nor any log line."""

    @project.view
    def fail(request: HttpRequest) -> Any:
        request.session["a"] = request.session.get("a", 0) + 1
        if "fail" in request.GET:
            raise ValueError("planted")
        return ""

    caplog.set_level("DEBUG")
    browser.post("/fail")
    answer = browser.post("/fail?fail")
    assert answer.status_code == 500
    assert b"planted" in answer.content
    project.store.failing = {"load"}
    browser.post("/fail")
    assert browser.token
    assert browser.token.encode() not in answer.content
    assert browser.token not in caplog.text


def test_t33_a_token_of_another_kind_of_session_opens_nothing(browser: Browser, project: Project) -> None:
    """What the guard opened in another scope is nobody's here, for the engine and for the middleware."""

    @project.view
    def read(request: HttpRequest) -> Any:
        return request.session.get("a")

    other = project.guard.create("ada", scope="shop", data={"a": 1})
    browser.token = other.token
    assert browser.get("/read").content == b"None"
    assert SessionStore(other.token).load() == {}


# Login


@pytest.mark.usefixtures("tables")
def test_login_gives_the_owner_and_a_new_token(browser: Browser, project: Project) -> None:
    """Django's `login` and `logout` need no word of ours; a planted token is dead at once."""
    ada = User.objects.create_user("ada", password="secret")

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["cart"] = ["tea"]

    @project.view
    def enter(request: HttpRequest) -> Any:
        login(request, ada)
        return request.session["cart"]

    @project.view
    def who(request: HttpRequest) -> Any:
        return f"{request.user.pk} {request.session.get('cart')}"

    @project.view
    def leave(request: HttpRequest) -> Any:
        logout(request)

    browser.post("/fill")
    planted = browser.token
    browser.post("/enter")
    [session] = project.guard.sessions()
    assert session.owner == str(ada.pk)
    assert browser.token != planted
    assert browser.get("/who").content == f"{ada.pk} ['tea']".encode()
    mine, browser.token = browser.token, planted
    assert browser.get("/who").content == b"None None"
    browser.token = mine
    browser.post("/leave")
    assert list(project.guard.sessions()) == []
    assert browser.get("/who").content == b"None None"


@pytest.mark.usefixtures("tables")
def test_a_first_login_costs_one_question_of_ours(browser: Browser, project: Project) -> None:
    """Without a session before, it is opened with its owner and all that the login wrote."""
    ada = User.objects.create_user("ada", password="secret")

    @project.view
    def enter(request: HttpRequest) -> Any:
        login(request, ada)

    browser.post("/enter")
    assert project.store.asked() == ["create"]
    assert [found.owner for found in project.guard.sessions()] == [str(ada.pk)]


@pytest.mark.usefixtures("tables")
def test_another_user_of_the_same_browser_gets_nothing_of_the_first(browser: Browser, project: Project) -> None:
    """The first one's session ends as the second logs in."""
    users = [User.objects.create_user(name, password="secret") for name in ("ada", "bea")]

    @project.view
    def enter(request: HttpRequest) -> Any:
        login(request, users[int(request.GET["user"])])
        seen = request.session.get("secret")
        request.session["secret"] = request.GET["user"]
        return seen

    assert browser.post("/enter?user=0").content == b"None"
    assert browser.post("/enter?user=1").content == b"None"
    assert [found.owner for found in project.guard.sessions()] == [str(users[1].pk)]


@pytest.mark.usefixtures("tables")
def test_django_s_pages_and_its_test_client_work(project: Project) -> None:
    """The admin with CSRF checked, the password change, `force_login` and `client.session`."""
    ada = get_user_model()._default_manager.create(username="ada", is_staff=True, is_superuser=True)
    ada.set_password("secret")
    ada.save()
    client = Client(enforce_csrf_checks=True)
    token = str(client.get("/admin/login/").context["csrf_token"])
    form = {"username": "ada", "password": "secret", "csrfmiddlewaretoken": token, "next": "/admin/"}
    assert client.post("/admin/login/", form).status_code == 302
    page = client.get("/admin/")
    assert page.status_code == 200
    assert [found.owner for found in project.guard.sessions()] == [str(ada.pk)]
    form = {"old_password": "secret", "new_password1": "another-secret-7", "new_password2": "another-secret-7"}
    form["csrfmiddlewaretoken"] = str(page.context["csrf_token"])
    before = client.cookies[COOKIE].value
    assert client.post("/admin/password_change/", form).status_code == 302
    assert client.cookies[COOKIE].value != before
    page = client.get("/admin/")
    assert page.status_code == 200
    client.post("/admin/logout/", {"csrfmiddlewaretoken": str(page.context["csrf_token"])})
    assert list(project.guard.sessions()) == []
    other = Client()
    ada.refresh_from_db()
    other.force_login(ada)
    session = other.session
    session["a"] = 1
    session.save()
    assert other.get("/admin/").status_code == 200
    assert other.session["a"] == 1


def test_t22_a_cycled_key_is_honoured_for_its_grace(browser: Browser, project: Project) -> None:
    """A request under way at the rotation goes on, its writes are stored, and it sets no cookie."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = 1

    @project.view
    def cycle(request: HttpRequest) -> Any:
        request.session.cycle_key()

    browser.post("/fill")
    before = browser.token
    browser.post("/cycle")
    after, browser.token = browser.token, before
    assert after != before
    answer = browser.post("/fill")
    assert answer.status_code == 200
    assert COOKIE not in answer.cookies
    assert COOKIE not in browser.post("/cycle").cookies
    project.pass_time(timedelta(seconds=20))
    browser.post("/cycle")
    assert project.guard.load(before) is None
    assert project.guard.load(after) is not None


# Async views


def test_async_views_await_the_session_and_the_visit(kind: str, project: Project) -> None:
    """`request.session.a...` and the awaited calls of `request.sessionguard`; what would block is refused."""

    @project.view
    async def work(request: Any) -> Any:
        await request.session.aset("a", await request.session.aget("a", 0) + 1)
        session = await request.sessionguard.opened()
        assert current_session().id == session.id  # type: ignore[union-attr]
        await request.session.acycle_key()
        assert await request.session.aexists(request.session.session_key)
        with pytest.raises(SynchronousOnlyOperation):
            request.session.flush()
        return request.session["a"]

    @project.view
    async def enter(request: Any) -> Any:
        return (await request.sessionguard.login("ada")).owner

    @project.view
    async def leave(request: Any) -> Any:
        await request.session.aflush()

    browser = Browser(kind)
    assert browser.post("/async/work").content == b"1"
    assert browser.post("/async/work").content == b"2"
    assert browser.post("/async/enter").content == b"ada"
    assert browser.post("/async/work").content == b"3"
    assert [found.owner for found in project.guard.sessions()] == ["ada"]
    browser.post("/async/leave")
    assert list(project.guard.sessions()) == []


def test_an_async_view_has_its_session_at_hand(kind: str, project: Project) -> None:
    """It was found before, with one question: what reads and writes fields without awaiting works. T48: or 503."""

    @project.view
    async def count(request: Any) -> Any:
        request.session["n"] = request.session.get("n", 0) + 1
        return f"{request.session['n']} {current_session() is not None} {request.session.session_key is not None}"

    @project.view
    async def idle(request: Any) -> Any:
        return ""

    browser = Browser(kind)
    assert browser.post("/async/count").content == b"1 False False"
    assert browser.post("/async/count").content == b"2 True True"
    assert project.store.asked() == ["create", "load", "save"]
    assert "Vary" not in browser.get("/async/idle")
    project.store.failing = {"load"}
    assert browser.get("/async/idle").status_code == 200
    assert browser.post("/async/count").status_code == 503


# Side by side


@pytest.mark.parametrize("mode", ["merge", "strict", "serial"])
def test_a_view_that_only_reads_asks_once_and_holds_nobody_up(browser: Browser, project: Project, mode: str) -> None:
    """Writing in it is a mistake that is told; it takes no lock, whatever the mode of the project."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = 1

    @project.view
    @read_only
    def look(request: HttpRequest) -> Any:
        with pytest.raises(MisuseError):
            request.session["a"] = 2
        return request.session["a"]

    browser.post("/fill")
    project.use(SESSIONGUARD_CONCURRENCY=mode)
    project.store.asked()
    assert browser.get("/look").content == b"1"
    assert project.store.asked() == ["load"]


def test_a_strict_view_meets_what_changed_meanwhile(browser: Browser, project: Project) -> None:
    """409, and nothing of it is stored; a view beside it merges. An explicit save in between is no conflict."""

    def write(request: HttpRequest) -> Any:
        request.session["a"] = request.session.get("a", 0) + 1
        if "save" in request.GET:
            request.session.save()
            request.session["a"] += 1
        if "late" in request.GET:
            [session] = project.guard.sessions()
            project.guard.save(session, {"meanwhile": True})

    project.view(write)
    strict = concurrency("strict")(lambda request: write(request))
    project.view(strict, "strict")
    browser.post("/write")
    assert browser.post("/strict?late").status_code == 409
    assert browser.post("/write?late").status_code == 200
    assert browser.post("/strict?save").status_code == 200
    [session] = project.guard.sessions()
    assert session.data["a"] == 4


class Marked(View):
    """A class of views that is marked as a whole."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer with the mode."""
        session = request.session
        assert isinstance(session, VisitedSession)
        return HttpResponse(session.visit.flows.mode.concurrency)


def test_classes_of_views_are_marked_as_a_whole(browser: Browser, project: Project) -> None:
    """The mark stands on the class, or on what `as_view` gives."""
    project.view(concurrency("strict")(Marked.as_view()), "one")
    assert browser.get("/one").content == b"strict"
    project.view(concurrency("serial")(Marked).as_view(), "two")
    try:
        assert browser.get("/two").content == b"serial"
    finally:
        del Marked.sessionguard_mode  # type: ignore[attr-defined]


@pytest.mark.parametrize("view_is_async", [False, True])
def test_serial_requests_count_right(kind: str, project: Project, view_is_async: bool, sg_profile: Profile) -> None:
    """Each of many requests at once adds one, and none is lost, although all read before they write."""
    project.use(SESSIONGUARD_CONCURRENCY="serial")
    amount = 40 if sg_profile.name == "deep" else 12

    @project.view
    def count(request: HttpRequest) -> Any:
        request.session["n"] = request.session.get("n", 0) + 1

    @project.view
    async def count_awaited(request: HttpRequest) -> Any:
        n = await request.session.aget("n", 0)
        await asyncio.sleep(0)
        await request.session.aset("n", n + 1)

    path = "/async/count_awaited" if view_is_async else "/count"
    first = Browser(kind)
    first.post(path)
    statuses = together(kind, path, str(first.token), amount)
    assert statuses == [200] * amount
    [session] = project.guard.sessions()
    assert session.data["n"] == amount + 1


def together(kind: str, path: str, token: str, amount: int) -> list[int]:
    """Send so many requests of one session at once, and give the statuses of the answers."""

    def send(_: int) -> int:
        browser = Browser("sync")
        browser.token = token
        return int(browser.post(path).status_code)

    async def send_all() -> list[int]:
        clients = [AsyncClient(raise_request_exception=False) for _ in range(amount)]
        for client in clients:
            client.cookies[COOKIE] = token

        async def post(client: AsyncClient) -> int:
            # As the handler of an ASGI server has it: the blocking parts of each request in a thread of their own.
            async with ThreadSensitiveContext():
                return int((await client.post(path)).status_code)

        return list(await asyncio.gather(*map(post, clients)))

    if kind == "async":
        return asyncio.run(send_all())
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(send, range(amount)))


def test_a_serial_request_that_waits_too_long_is_told_when_to_come_again(browser: Browser, project: Project) -> None:
    """503 with Retry-After, and nothing was done."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = request.session.get("a", 0) + 1

    browser.post("/fill")
    project.use(SESSIONGUARD_CONCURRENCY="serial", SESSIONGUARD_LOCK_TIMEOUT=0.05)
    [session] = project.guard.sessions()
    with project.guard.lock(session, REQUEST_LOCK):
        answer = browser.post("/fill")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "1"
    assert browser.post("/fill").status_code == 200
    [session] = project.guard.sessions()
    assert session.data["a"] == 2


def test_t08_closed_guards_answer_nothing(browser: Browser, project: Project) -> None:
    """A request after the guard was closed is an error of the program, not an empty session."""

    @project.view
    def read(request: HttpRequest) -> Any:
        return request.session.get("a")

    project.guard.close()
    browser.token = "sgabc" + "0" * 27
    assert browser.get("/read").status_code == 500


# Workflows


def test_t49_each_upload_has_a_session_of_its_own(browser: Browser, project: Project) -> None:
    """Incident A: two tabs of one browser work in two workspaces, and no stranger reaches either."""

    @project.view
    def begin(request: Any) -> Any:
        return request.sessionguard.new_session("upload").id

    @project.view
    def put(request: Any) -> Any:
        session = request.sessionguard.own_session(request.GET["id"], "upload")
        if session is None:
            return HttpResponse(status=404)
        with request.sessionguard.workspace(session) as files:
            files.write("data.txt", request.body)
            return files.read("data.txt").decode()

    tabs = [browser.post("/begin").content.decode() for _ in range(2)]
    for number, tab in enumerate(tabs):
        sent = str(number)
        assert browser.post(f"/put?id={tab}", data=sent, content_type="text/plain").content == sent.encode()
    stranger = Browser(browser.kind)
    stranger.post("/begin")
    assert stranger.post(f"/put?id={tabs[0]}", data="x", content_type="text/plain").status_code == 404
