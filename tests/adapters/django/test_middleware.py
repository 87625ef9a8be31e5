"""The middleware: one question, no row unasked, honest answers, sealed in the end; blocking and async alike."""

import threading
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from sessionguard import current_session
from sessionguard.adapters.django.engine import SessionStore
from sessionguard.errors import SessionConflictError, SessionSealedError
from tests.adapters.django.browser import COOKIE, MIDDLEWARE, Browser
from tests.adapters.django.project import Project

pytestmark = pytest.mark.usefixtures("guarded")


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
    """A nested list that was appended to is stored, by the view itself and after it; what others stored survives."""

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session.update({"cart": ["tea"], "gone": 1})

    @project.view
    def append(request: HttpRequest) -> Any:
        request.session["cart"].append("milk")
        request.session.pop("gone")
        [session] = project.guard.sessions()
        project.guard.save(session, {"meanwhile": True})
        request.session.save()
        request.session["after"] = 1

    @project.view
    def read(request: HttpRequest) -> Any:
        return sorted(request.session.items())

    browser.post("/fill")
    browser.post("/append")
    assert browser.get("/read").content == b"[('after', 1), ('cart', ['tea', 'milk']), ('meanwhile', True)]"


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


def test_what_a_view_wrote_before_an_error_of_ours_is_not_stored(browser: Browser, project: Project) -> None:
    """It has not come to its end, whatever the status is by which the error is told."""

    @project.view
    def fail(request: HttpRequest) -> Any:
        request.session["a"] = 1
        raise SessionConflictError("0" * 34, 1, 2)

    assert browser.post("/fail").status_code == 409
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


def test_t08_closed_guards_answer_nothing(browser: Browser, project: Project) -> None:
    """A request after the guard was closed is an error of the program, not an empty session."""

    @project.view
    def read(request: HttpRequest) -> Any:
        return request.session.get("a")

    project.guard.close()
    browser.token = "sgabc" + "0" * 27
    assert browser.get("/read").status_code == 500
