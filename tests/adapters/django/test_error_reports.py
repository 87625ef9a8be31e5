"""What error reports hide, and the name of the cookie that Django and we share."""

from logging import LogRecord
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import mail
from django.http import HttpRequest
from django.test import Client, override_settings
from django.utils.log import AdminEmailHandler

from sessionguard.adapters.django import guards
from tests.adapters.django.browser import MIDDLEWARE
from tests.adapters.django.conftest import BuildProject
from tests.adapters.django.project import Project

DJANGOS = ["django.contrib.sessions.middleware.SessionMiddleware", *MIDDLEWARE[1:]]
pytestmark = pytest.mark.parametrize("store_kind", ["memory"])


def ready() -> None:
    """Do what Django does with the app as a process starts."""
    apps.get_app_config("sessionguard").ready()


@pytest.mark.parametrize("middleware, travels", [(DJANGOS, "cookie"), (MIDDLEWARE, "cookie"), (MIDDLEWARE, "header")])
def test_t36_no_token_in_error_reports(build: BuildProject, middleware: list[str], travels: str) -> None:
    """Neither in the page of DEBUG, with its local variables, nor in the mail to ADMINS, whatever the token is in."""
    project = build()
    project.use(MIDDLEWARE=middleware, DEBUG=True, ADMINS=[("a", "a@example.org")])
    project.use(SESSIONGUARD_TRANSPORT=travels, SESSIONGUARD_WORKSPACES="s3://ada:word@bucket/prefix")
    ready()
    seen: list[HttpRequest] = []

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = 1

    @project.view
    def fail(request: HttpRequest) -> Any:
        seen.append(request)
        mine = [request.session.session_key, *request.META.items()]
        request.session.cycle_key()
        raw = ("x" * 90 + "".join(str(item) for item in mine) + str(request.session.session_key)).encode()
        raise RuntimeError(f"planted: {len(raw)}")

    client = Client(raise_request_exception=False)
    headers = {}
    if travels == "cookie":
        client.post("/fill")
        [before] = [morsel.value for morsel in client.cookies.values()]
    else:
        before = client.post("/fill").headers["SessionGuard-Token"]
        headers = {"SessionGuard-Token": before}
    page = client.post("/fail", headers=headers).content.decode()
    assert "planted" in page
    after = seen[0].session.session_key
    assert after is not None
    assert after != before

    record = LogRecord("django.request", 40, "", 1, "planted", None, None)
    record.request = seen[0]
    AdminEmailHandler(include_html=True).emit(record)
    shown = page + str(mail.outbox[-1].message())
    assert "RuntimeError" in shown
    assert not [secret for secret in (before, after, "ada:word") if secret in shown]


def test_t36_no_token_in_our_own_frames(project: Project) -> None:
    """Also where something breaks below Django, with the token at hand."""
    planted: list[str] = []

    def fail(*arguments: Any, **options: Any) -> Any:
        planted.extend(part for part in arguments if isinstance(part, str))
        raise RuntimeError("planted")

    project.use(DEBUG=True)
    ready()

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = 1

    client = Client(raise_request_exception=False)
    client.post("/fill")
    before = client.cookies["sessionid"].value
    project.guard.load = fail  # type: ignore[method-assign]
    page = client.post("/fill").content.decode()
    assert "planted" in page
    assert set(planted) == {before}
    assert before not in page


@pytest.mark.parametrize(
    "changed, name",
    [
        ({}, "__Host-sg"),
        ({"SESSION_COOKIE_NAME": "shop"}, "shop"),
        ({"SESSIONGUARD_COOKIE_NAME": "__Secure-shop"}, "__Secure-shop"),
        ({"SESSIONGUARD_COOKIE_SECURE": False}, "sg"),
    ],
)
@pytest.mark.usefixtures("tables")
def test_tests_log_in_by_the_one_name_of_the_cookie(build: BuildProject, changed: Any, name: str) -> None:
    """`force_login` and `login` work with our middleware as they do with Django's, whoever chose the name."""
    with override_settings(MIDDLEWARE=MIDDLEWARE, **changed):
        ready()
        project = build()
        assert getattr(guards.place().rules.transport, "name", None) == name

        @project.view
        def who(request: HttpRequest) -> Any:
            return request.user

        ada = User.objects.create_user("ada", password="word")
        clients = [Client(), Client()]
        clients[0].force_login(ada)
        assert clients[1].login(username="ada", password="word")
        assert [client.get("/who").content for client in clients] == [b"ada", b"ada"]
        assert name in clients[0].cookies


def test_the_name_may_change_while_tests_run(build: BuildProject) -> None:
    """The guard stays, with its sessions."""
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        guard = build().guard
        with override_settings(SESSION_COOKIE_NAME="shop"):
            assert getattr(guards.place().rules.transport, "name", None) == "shop"
            assert guards.guard() is guard
        assert getattr(guards.place().rules.transport, "name", None) == "__Host-sg"
