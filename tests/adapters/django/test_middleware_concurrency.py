"""Requests of one session at the same time, in each mode and for each view."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.views import View

from sessionguard.adapters.django.session import VisitedSession
from sessionguard.adapters.modes import concurrency, read_only
from sessionguard.adapters.visits import REQUEST_LOCK
from sessionguard.errors import MisuseError
from sessionguard.testing import Profile
from tests.adapters.django.browser import COOKIE, Browser
from tests.adapters.django.project import Project

pytestmark = pytest.mark.usefixtures("guarded")


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
