"""Visitors of the middleware: logins, async views, sessions for uploads."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse
from django.test import Client

from sessionguard import SessionPolicy, current_session
from sessionguard.adapters import read_only
from sessionguard.errors import SessionLimitError
from tests.adapters.django.browser import COOKIE, Browser
from tests.adapters.django.conftest import BuildProject
from tests.adapters.django.project import Project

pytestmark = pytest.mark.usefixtures("guarded")


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


@pytest.fixture
def entered(browser: Browser, project: Project, tables: None) -> User:
    """Give who is logged in with the browser; views that only look tell who it is."""
    ada = User.objects.create_user("ada", password="secret")

    @project.view
    def enter(request: HttpRequest) -> Any:
        login(request, ada)

    @project.view
    @read_only
    def look(request: HttpRequest) -> Any:
        return request.user.pk

    browser.post("/enter")
    return ada


def test_t42_who_changed_his_password_elsewhere_is_nobody_in_a_view_that_only_reads(
    browser: Browser, project: Project, entered: User
) -> None:
    """Django ends the session when somebody looks for the user, whatever the mark of the view."""
    entered.set_password("another")
    entered.save()
    answer = browser.get("/look")
    assert (answer.status_code, answer.content) == (200, b"None")
    assert list(project.guard.sessions()) == []
    assert browser.token is None


def test_t42_a_view_that_only_reads_renews_the_login_of_a_former_secret(
    browser: Browser, project: Project, entered: User
) -> None:
    """With a new token, and once: the key of before is not asked for any more."""
    before = browser.token
    project.use(SECRET_KEY="another key", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY])
    assert browser.get("/look").content == str(entered.pk).encode()
    renewed = browser.token
    assert renewed not in (before, None)
    project.use(SECRET_KEY_FALLBACKS=[])
    assert browser.get("/look").content == str(entered.pk).encode()
    assert browser.token == renewed


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


def test_t47_an_id_selects_and_does_not_authorise(browser: Browser, project: Project) -> None:
    """The id of another visitor's session, one that is over and one that never was are refused alike."""

    @project.view
    def begin(request: Any) -> Any:
        return request.sessionguard.new_session("upload").id

    @project.view
    def end(request: Any) -> Any:
        visit = request.sessionguard
        visit.guard.end(visit.own_session(request.GET["id"]))

    @project.view
    def show(request: Any) -> Any:
        return request.sessionguard.own_session(request.GET["id"])

    mine = browser.post("/begin").content.decode()
    assert mine in browser.get(f"/show?id={mine}").content.decode()
    stranger = Browser(browser.kind)
    stranger.post("/begin")
    over = browser.post("/begin").content.decode()
    browser.post(f"/end?id={over}")
    answers = [stranger.get(f"/show?id={mine}"), browser.get(f"/show?id={over}"), browser.get("/show?id=" + "0" * 34)]
    assert [answer.content for answer in answers] == [b"None"] * 3


# Owners


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("is_caught", [False, True])
def test_whom_a_limit_refuses_is_not_logged_in(build: BuildProject, kind: str, guarded: None, is_caught: bool) -> None:
    """409, or what the view makes of it; Django's own keys of the login are gone from the session, and the user."""
    project = build(policy=SessionPolicy(max_active=1, on_limit="refuse"))
    ada = User.objects.create_user("ada", password="secret")

    @project.view
    def enter(request: HttpRequest) -> Any:
        request.session["seen"] = 1
        if not is_caught:
            login(request, ada)
            return ""
        try:
            login(request, ada)
        except SessionLimitError:
            return request.user.pk
        return ""

    @project.view
    def who(request: HttpRequest) -> Any:
        return f"{request.user.pk} {'_auth_user_id' in request.session}"

    phone, laptop = Browser(kind), Browser(kind)
    assert phone.post("/enter").status_code == 200
    refused = laptop.post("/enter")
    assert refused.content == b"None" if is_caught else refused.status_code == 409
    assert laptop.get("/who").content == b"None False"
    assert phone.get("/who").content == f"{ada.pk} True".encode()
    assert [found.owner for found in project.guard.sessions(owner=str(ada.pk))] == [str(ada.pk)]


def test_t25_other_devices_can_be_logged_out(browser: Browser, project: Project) -> None:
    """All but this one, or all; afterwards no token of theirs opens anything."""

    @project.view
    def enter(request: Any) -> Any:
        request.sessionguard.login("ada")

    @project.view
    def others(request: Any) -> Any:
        return f"{len(request.sessionguard.own_sessions())} {request.sessionguard.logout_others()}"

    @project.view
    def everywhere(request: Any) -> Any:
        return request.sessionguard.logout_everywhere()

    @project.view
    def who(request: Any) -> Any:
        session = request.sessionguard.session()
        return None if session is None else session.owner

    devices = [browser, Browser(browser.kind), Browser(browser.kind)]
    for device in devices:
        device.post("/enter")
    assert devices[0].post("/others").content == b"3 2"
    assert [device.get("/who").content for device in devices] == [b"ada", b"None", b"None"]
    devices[1].post("/enter")
    assert devices[0].post("/everywhere").content == b"2"
    assert [device.get("/who").content for device in devices] == [b"None"] * 3
