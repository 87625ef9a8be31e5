"""The engine under Django's own session middleware: login, messages, CSRF and the test client go on working."""

import asyncio
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth import alogin, login, logout
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.test import AsyncClient, Client, override_settings

from sessionguard import SessionPolicy
from sessionguard.errors import StoreUnavailableError
from tests.adapters.django.conftest import BuildProject
from tests.adapters.django.project import COOKIE, Project

pytestmark = pytest.mark.usefixtures("tables")


def user(name: str = "ada") -> User:
    """Give a stored user whose password is `secret`."""
    return User.objects.create_user(name, password="secret")


def key_of(client: Client) -> str:
    """Give what the browser holds in its cookie."""
    return str(client.cookies[COOKIE].value)


def test_a_request_costs_one_question_and_a_change_one_more(project: Project) -> None:
    """Reading asks once, a request that does not use the session not at all, a change is stored once at the end."""

    @project.view
    def write(request: HttpRequest) -> Any:
        request.session["n"] = request.session.get("n", 0) + 1
        request.session["list"] = [1]
        return request.session["n"]

    @project.view
    def read(request: HttpRequest) -> Any:
        return f"{request.session['n']} {request.session.get('list')} {'n' in request.session}"

    @project.view
    def idle(request: HttpRequest) -> Any:
        return ""

    client = Client()
    assert client.post("/write").content == b"1"
    assert project.store.asked() == ["create"]
    assert client.get("/read").content == b"1 [1] True"
    assert project.store.asked() == ["load"]
    assert client.get("/idle").content == b""
    assert project.store.asked() == []
    assert client.post("/write").content == b"2"
    assert project.store.asked() == ["load", "save"]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_an_outage_is_waited_for_once_a_request(project: Project, debug: bool, is_async: bool) -> None:
    """Not by the view, by Django's middleware and by its error page again; the next request asks anew."""

    @project.view
    def write(request: HttpRequest) -> Any:
        request.session["n"] = 1
        return ""

    @project.view
    def hold(request: HttpRequest) -> Any:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                request.session["n"]
        request.session["n"] = 2
        return ""

    @project.view
    async def awaited(request: HttpRequest) -> Any:
        return await request.session.aget("n")

    client = Client(raise_request_exception=False)
    client.post("/write")
    project.store.asked()
    project.store.failing = {"load", "save"}
    # More than one question, and every one of them would be waited for.
    with override_settings(DEBUG=debug, SESSION_SAVE_EVERY_REQUEST=True):
        if is_async:
            other = AsyncClient(raise_request_exception=False)
            other.cookies = client.cookies
            assert asyncio.run(other.get("/async/awaited")).status_code == 500
        else:
            assert client.post("/hold").status_code == 500
    assert project.store.asked() == ["load"]
    project.store.failing = set()
    assert client.post("/write").status_code == 200


def test_login_gives_the_owner_and_logout_ends_it(project: Project) -> None:
    """`login` makes a visitor's session that of the user, with its data; `logout` ends it on the server."""
    ada = user()

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["cart"] = ["tea"]

    @project.view
    def enter(request: HttpRequest) -> Any:
        login(request, ada)
        return request.session["cart"]

    @project.view
    def leave(request: HttpRequest) -> Any:
        logout(request)

    @project.view
    def who(request: HttpRequest) -> Any:
        return request.user.pk

    client, attacker = Client(), Client()
    client.post("/fill")
    attacker.cookies[COOKIE] = key_of(client)
    assert client.post("/enter").content == b"['tea']"
    [session] = project.guard.sessions()
    assert session.owner == str(ada.pk)
    assert client.get("/who").content == str(ada.pk).encode()
    # Session fixation: whoever planted the visitor's key holds nothing now.
    assert attacker.get("/who").content == b"None"
    key = key_of(client)
    client.post("/leave")
    assert list(project.guard.sessions()) == []
    client.cookies[COOKIE] = key
    assert client.get("/who").content == b"None"


def test_a_fresh_visitor_who_logs_in_gets_a_session_of_his_own(project: Project) -> None:
    """Without a session before, the one opened at login has the owner; the next user of the browser gets another."""
    users = {name: user(name) for name in ("ada", "bea")}

    @project.view
    def enter(request: HttpRequest) -> Any:
        login(request, users[request.POST["name"]])
        return request.session.get("seen")

    client = Client()
    client.post("/enter", {"name": "ada"})
    client.post("/enter", {"name": "bea"})
    owners = {found.owner: found.status for found in project.guard.sessions(status=None)}
    assert owners == {str(users["ada"].pk): "ended", str(users["bea"].pk): "active"}


def test_django_s_own_login_pages_and_admin_work(project: Project) -> None:
    """The admin's login form, its pages and the logout form, with CSRF checked."""
    ada = user()
    ada.is_staff = ada.is_superuser = True
    ada.save()
    client = Client(enforce_csrf_checks=True)
    page = client.get("/admin/login/")
    token = page.context["csrf_token"]
    form = {"username": "ada", "password": "secret", "csrfmiddlewaretoken": str(token), "next": "/admin/"}
    assert client.post("/admin/login/", form).status_code == 302
    page = client.get("/admin/")
    assert [found.owner for found in project.guard.sessions()] == [str(ada.pk)]
    token = page.context["csrf_token"]
    assert client.post("/accounts/logout/", {"csrfmiddlewaretoken": str(token)}).status_code in {200, 302}
    assert list(project.guard.sessions()) == []


def test_changing_the_password_keeps_this_session_and_no_other(project: Project) -> None:
    """`update_session_auth_hash` renews the key; sessions on other devices are logged out by the hash."""
    user()
    here, there = Client(), Client()
    for client in (here, there):
        assert client.login(username="ada", password="secret")

    @project.view
    def who(request: HttpRequest) -> Any:
        return request.user.is_authenticated

    form = {"old_password": "secret", "new_password1": "another-secret-7", "new_password2": "another-secret-7"}
    before = key_of(here)
    assert here.post("/accounts/password_change/", form).status_code == 302
    assert key_of(here) != before
    assert here.get("/who").content == b"True"
    assert there.get("/who").content == b"False"


@override_settings(CSRF_USE_SESSIONS=True, MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage")
def test_messages_and_csrf_secrets_may_live_in_the_session(project: Project) -> None:
    """A message is shown once; the CSRF secret in the session is honoured, and a post without it is refused."""

    @project.view
    def form(request: HttpRequest) -> Any:
        return get_token(request)

    @project.view
    def send(request: HttpRequest) -> Any:
        messages.success(request, "sent")

    @project.view
    def told(request: HttpRequest) -> Any:
        return ",".join(str(message) for message in get_messages(request))

    client = Client(enforce_csrf_checks=True)
    token = client.get("/form").content.decode()
    assert client.post("/send").status_code == 403
    assert client.post("/send", headers={"X-CSRFToken": token}).status_code == 200
    assert client.get("/told").content == b"sent"
    assert client.get("/told").content == b""


def test_t20_a_slow_request_meets_the_logout_as_an_interruption(project: Project) -> None:
    """What it would have stored is refused with 400, as Django does it, and no cookie is set."""

    @project.view
    def write(request: HttpRequest) -> Any:
        request.session["a"] = 1

    @project.view
    def slow(request: HttpRequest) -> Any:
        request.session["b"] = 1
        [session] = project.guard.sessions()
        project.guard.end(session)

    client = Client()
    client.post("/write")
    answer = client.post("/slow")
    assert answer.status_code == 400
    assert COOKIE not in answer.cookies
    assert list(project.guard.sessions()) == []


def test_t26_t43_requests_that_store_nothing_leave_nothing(project: Project) -> None:
    """Reads, logouts, failures and unknown keys open no session, by any method."""

    @project.view
    def read(request: HttpRequest) -> Any:
        return request.session.get("a")

    @project.view
    def leave(request: HttpRequest) -> Any:
        logout(request)

    @project.view
    def fail(request: HttpRequest) -> Any:
        request.session["a"] = 1
        return HttpResponse(status=500)

    for number in range(20):
        client = Client()
        client.cookies[COOKIE] = f"sgabc{number:027d}"
        for name in ("read", "leave", "fail"):
            client.get(f"/{name}")
            client.post(f"/{name}")
    assert project.session_count() == 0


@pytest.mark.parametrize("concurrent", [False, True])
def test_async_views_read_write_and_log_in(build: BuildProject, concurrent: bool) -> None:
    """Under ASGI the awaited calls do what the blocking ones do, also many at once."""
    project = build()
    ada = user()

    @project.view
    async def write(request: Any) -> Any:
        await request.session.aset(request.GET["name"], 1)

    @project.view
    async def enter(request: Any) -> Any:
        await alogin(request, ada)

    @project.view
    async def names(request: Any) -> Any:
        return ",".join(sorted(name for name in await request.session.akeys() if name in "abcd"))

    async def scene() -> str:
        client = AsyncClient()
        await client.post("/async/write?name=a")
        await client.post("/async/enter")
        calls = [client.post(f"/async/write?name={name}") for name in "bcd"]
        if concurrent:
            await asyncio.gather(*calls)
        else:
            for call in calls:
                await call
        return str((await client.get("/async/names")).content.decode())

    assert asyncio.run(scene()) == "a,b,c,d"
    assert [found.owner for found in project.guard.sessions()] == [str(ada.pk)]


def test_the_test_client_s_session_and_login_work(project: Project) -> None:
    """`client.session`, `force_login` and `client.logout` are what Django's testing documentation says."""
    ada = user()

    @project.view
    def both(request: HttpRequest) -> Any:
        return f"{request.session.get('a')} {request.user.pk}"

    client = Client()
    session = client.session
    session["a"] = 1
    session.save()
    client.force_login(ada)
    assert client.get("/both").content == f"1 {ada.pk}".encode()
    client.logout()
    assert client.get("/both").content == b"None None"
    assert list(project.guard.sessions()) == []


def test_whom_a_limit_refuses_is_not_logged_in(build: BuildProject) -> None:
    """Under Django's middleware it is an error of the view, and the browser is nobody's as before."""
    project = build(policy=SessionPolicy(max_active=1, on_limit="refuse"))
    ada = user()

    @project.view
    def enter(request: HttpRequest) -> Any:
        login(request, ada)

    @project.view
    def who(request: HttpRequest) -> Any:
        return request.user.pk

    phone, laptop = Client(), Client(raise_request_exception=False)
    phone.post("/enter")
    assert laptop.post("/enter").status_code == 500
    assert laptop.get("/who").content == b"None"
    assert phone.get("/who").content == str(ada.pk).encode()
