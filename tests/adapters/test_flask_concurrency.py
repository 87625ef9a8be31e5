"""What becomes of requests of one session that run at the same time, in each mode."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import pytest
from flask import copy_current_request_context, flash, request, session

from sessionguard import SessionGuard, current_session
from sessionguard.adapters import concurrency, read_only
from sessionguard.core.events import LockLost
from sessionguard.errors import MisuseError
from sessionguard.testing.profile import Profile
from tests.adapters.conftest import BuildSite
from tests.adapters.site import Site, token_of

THREADS = 8
REQUESTS = 50


def visitor_of(site: Site, **data: Any) -> dict[str, str]:
    """Give the Cookie header of a visitor whose session holds `data`."""
    return {"Cookie": f"__Host-sg={site.guard.create(data=data).token}"}


def data_of(site: Site) -> dict[str, Any]:
    """Give what the only session holds."""
    (stored,) = site.guard.sessions()
    return dict(stored.data)


def count_up(site: Site, threads: int, requests: int) -> list[int]:
    """Let `threads` browsers' tabs count in one session at once; gives the statuses of all requests."""

    @site.view
    def count() -> str:
        session["n"] = session["n"] + 1
        return ""

    headers = visitor_of(site, n=0)
    start = Barrier(threads, timeout=30)

    def run(_: int) -> list[int]:
        client = site.sender()
        start.wait()
        statuses: list[int] = []
        while len(statuses) < requests and set(statuses) <= {200, 409}:
            statuses.append(client.post("/count", headers=headers).status_code)
        return statuses

    with ThreadPoolExecutor(threads) as pool:
        return [status for statuses in pool.map(run, range(threads)) for status in statuses]


def test_serial_keeps_every_increment(build: BuildSite) -> None:
    """8 threads x 50 requests of `session["n"] = session["n"] + 1` keep 400 of 400."""
    site = build(concurrency="serial", SESSIONGUARD_LOCK_TIMEOUT=20)
    statuses = count_up(site, THREADS, REQUESTS)
    assert statuses == [200] * THREADS * REQUESTS
    assert data_of(site) == {"n": THREADS * REQUESTS}


def test_strict_keeps_or_refuses_every_increment(build: BuildSite) -> None:
    """In strict mode each increment is kept or answered 409; none is lost silently."""
    site = build(concurrency="strict")
    statuses = count_up(site, 4, 25)
    assert set(statuses) <= {200, 409}
    assert data_of(site) == {"n": statuses.count(200)}


def test_merge_keeps_different_fields(build: BuildSite, sg_profile: Profile) -> None:
    """In the default mode fields written by requests at the same time all survive."""
    for _ in range(sg_profile.rounds):
        site = build()
        together = Barrier(THREADS, timeout=30)

        @site.view
        def write() -> str:
            session[request.args["field"]] = len(session)
            together.wait()  # noqa: B023
            return ""

        headers = visitor_of(site, kept=True)
        with ThreadPoolExecutor(THREADS) as pool:
            paths = [f"/write?field=f{number}" for number in range(THREADS)]
            answers = pool.map(lambda path: site.sender().post(path, headers=headers).status_code, paths)  # noqa: B023
            assert list(answers) == [200] * THREADS
        assert data_of(site) == {"kept": True} | {f"f{number}": 1 for number in range(THREADS)}


@pytest.mark.parametrize("concurrency", ["merge", "strict"])
@pytest.mark.parametrize("what", ["read", "nested", "flag"])
def test_concurrent_read_only_request_undoes_nothing(build: BuildSite, concurrency: str, what: str) -> None:
    """A slow request that only reads, whatever it reads, leaves alone what was written meanwhile."""
    site = build(concurrency=concurrency)
    loaded, written = Event(), Event()

    @site.view
    def slow() -> str:
        if what == "nested":
            assert session["box"] == {"a": [1]}
        elif what == "flag":
            session.modified = True
        assert session["n"] == 1
        loaded.set()
        assert written.wait(10)
        return ""

    @site.view
    def write() -> str:
        session["n"] = 2
        session["box"]["a"].append(2)
        del session["gone"]
        return ""

    headers = visitor_of(site, n=1, box={"a": [1]}, gone=1)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(site.sender().get, "/slow", headers=headers)
        assert loaded.wait(10)
        assert site.sender().post("/write", headers=headers).status_code == 200
        written.set()
        assert answer.result().status_code == 200
    assert data_of(site) == {"n": 2, "box": {"a": [1, 2]}}


def test_strict_refuses_what_was_decided_on_old_data(build: BuildSite) -> None:
    """A request whose session changed since it was loaded is answered 409, and nothing of it is stored."""
    site = build(concurrency="strict")

    @site.view
    def write() -> str:
        session["mine"] = session["n"]
        (other,) = site.guard.sessions()
        site.guard.save(other, {"n": 2})
        return "done"

    response = site.sender().post("/write", headers=visitor_of(site, n=1))
    assert (response.status_code, "done" in response.text) == (409, False)
    assert data_of(site) == {"n": 2}


def test_strict_login_does_not_hide_a_conflict(build: BuildSite) -> None:
    """The version that counts is that of the data the request saw, also after its token was rotated."""
    site = build(concurrency="strict")

    @site.view
    def login() -> str:
        seen = session["n"]
        (other,) = site.guard.sessions()
        site.guard.save(other, {"n": 2})
        site.extension.login("ana")
        session["n"] = seen + 10
        return ""

    client = site.client()
    client.set_cookie("__Host-sg", visitor_of(site, n=1)["Cookie"].partition("=")[2])
    before = token_of(client)
    assert client.post("/login").status_code == 409
    assert data_of(site) == {"n": 2}
    # The rotation stands, so its token is handed out although the request failed: the old one is about to die.
    assert token_of(client) not in (None, before)


def test_serial_waits_for_the_whole_request_even_if_it_does_not_use_the_session(build: BuildSite) -> None:
    """While one request runs, no other of its session does; what it then loads is what the first one left."""
    site = build(concurrency="serial")
    inside, may_go = Event(), Event()
    order: list[str] = []

    @site.view
    def slow() -> str:
        inside.set()
        assert may_go.wait(10)
        order.append("slow")
        session["n"] = 2
        return ""

    @site.view
    def quick() -> str:
        order.append("quick")
        return str(session["n"])

    headers = visitor_of(site, n=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(site.sender().post, "/slow", headers=headers)
        assert inside.wait(10)
        second = pool.submit(site.sender().get, "/quick", headers=headers)
        # Another session is not held up.
        assert site.sender().get("/quick", headers=visitor_of(site, n=7)).text == "7"
        may_go.set()
        assert first.result().status_code == 200
        assert second.result().text == "2"
    assert order == ["quick", "slow", "quick"]


def test_serial_wait_is_bounded(build: BuildSite) -> None:
    """A request that does not get its turn in time is answered 503, and the next one gets it."""
    site = build(concurrency="serial", SESSIONGUARD_LOCK_TIMEOUT=timedelta(milliseconds=50))

    @site.view
    def view() -> str:
        session["n"] += 1
        return ""

    headers = visitor_of(site, n=1)
    (held,) = site.guard.sessions()
    with site.guard.lock(held, "request"):
        response = site.sender().post("/view", headers=headers)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert site.sender().post("/view", headers=headers).status_code == 200
    assert data_of(site) == {"n": 2}


def test_serial_gives_the_turn_back_after_errors(build: BuildSite) -> None:
    """Neither a failing view nor a failing save, nor a login or logout, keeps the next request out."""
    site = build(concurrency="serial", SESSIONGUARD_LOCK_TIMEOUT=timedelta(milliseconds=300))

    @site.view
    def view() -> str:
        session["n"] += 1
        return ""

    @site.view
    def fail() -> str:
        raise ZeroDivisionError

    @site.view
    def unstorable() -> str:
        session["bad"] = object()
        return ""

    @site.view
    def login() -> str:
        site.extension.login("ana")
        return ""

    @site.view
    def logout() -> str:
        site.extension.logout()
        return ""

    client = site.client()
    client.set_cookie("__Host-sg", visitor_of(site, n=1)["Cookie"].partition("=")[2])
    for path, status in [("/fail", 500), ("/unstorable", 500), ("/login", 200), ("/logout", 200)]:
        if path == "/login":
            assert client.post("/view").status_code == 200
        assert client.post(path).status_code == status, path
    site.app.testing = True
    headers = visitor_of(site, n=1)
    with pytest.raises(ZeroDivisionError):
        site.sender().post("/fail", headers=headers)
    assert site.sender().post("/view", headers=headers).status_code == 200


@pytest.mark.parametrize("mark", [read_only, concurrency("merge")], ids=["read only", "merge"])
def test_serial_view_may_opt_out(build: BuildSite, mark: Any) -> None:
    """A view that is marked so runs beside others, and its response is private only if it looks."""
    site = build(concurrency="serial", SESSIONGUARD_LOCK_TIMEOUT=timedelta(milliseconds=50))
    site.app.add_url_rule("/progress/now", "progress", mark(lambda: str(session["n"])))
    site.app.add_url_rule("/health/now", "health", mark(lambda: "ok"))
    headers = visitor_of(site, n=1)
    (held,) = site.guard.sessions()
    with site.guard.lock(held, "request"):
        assert site.sender().get("/progress/now", headers=headers).text == "1"
        health = site.sender().get("/health/now", headers=headers)
    assert health.text == "ok"
    assert "Vary" not in health.headers


@pytest.mark.parametrize("mode", ["merge", "serial"])
def test_hooks_and_error_pages_may_write_where_no_view_runs(build: BuildSite, mode: str) -> None:
    """A hook that makes every session permanent and a message on the page for 404 work, waiting for nobody."""
    site = build(concurrency=mode, SESSIONGUARD_LOCK_TIMEOUT=timedelta(milliseconds=50))

    @site.app.before_request
    def make_permanent() -> None:
        session.permanent = True

    @site.app.errorhandler(404)
    def missing(error: Exception) -> Any:
        flash("not here")
        return "missing", 404

    headers = visitor_of(site, n=1)
    (held,) = site.guard.sessions()
    with site.guard.lock(held, "request"):
        assert site.sender().get("/static/missing.css", headers=headers).status_code == 404
        assert site.sender().get("/no/such/page", headers=headers).status_code == 404
    (stored,) = site.guard.sessions()
    assert stored.data["_permanent"] is True
    assert len(stored.data["_flashes"]) == 2


def test_read_only_view_that_changes_a_value_in_place_is_told_so(build: BuildSite) -> None:
    """What no assignment shows is not stored in silence either."""
    site = build()

    @site.view
    @read_only
    def view() -> str:
        session["cart"].append(2)
        return ""

    site.app.add_url_rule("/report/now", "report", view)
    site.app.testing = True
    with pytest.raises(MisuseError, match="read_only"):
        site.sender().get("/report/now", headers=visitor_of(site, cart=[1]))
    (stored,) = site.guard.sessions()
    assert stored.data == {"cart": [1]}


def test_serial_request_after_a_logout_that_it_waited_for_has_no_session(build: BuildSite) -> None:
    """What waited while the session was ended runs as a visitor without one."""
    site = build(concurrency="serial")
    inside, may_go = Event(), Event()

    @site.view
    def logout() -> str:
        inside.set()
        assert may_go.wait(10)
        site.extension.logout()
        return ""

    @site.view
    def read() -> str:
        return str(dict(session))

    headers = visitor_of(site, n=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(site.sender().post, "/logout", headers=headers)
        assert inside.wait(10)
        second = pool.submit(site.sender().get, "/read", headers=headers)
        may_go.set()
        assert first.result().status_code == 200
        assert second.result().text in ("{}", "{'n': 1}")
    assert site.sender().get("/read", headers=headers).text == "{}"


@pytest.mark.parametrize("is_over", [False, True], ids=["the other runs", "the other is done"])
def test_serial_request_that_was_stopped_past_its_lease_overwrites_nothing(build: BuildSite, is_over: bool) -> None:
    """A request that lost its turn to one in another process is answered 503, and what that one saved stays."""
    site = build(concurrency="serial")
    others = SessionGuard(site.store, clock=site.clock, sweep_interval=None)
    held = ExitStack()

    @site.view
    def stopped() -> str:
        session["n"] += 1
        (mine,) = site.guard.sessions()
        site.clock.advance(timedelta(seconds=20))
        lock = held.enter_context(others.lock(mine, "request"))
        others.save(mine, {"n": 10}, lock=lock)
        if is_over:
            held.close()
        return "done"

    response = site.sender().post("/stopped", headers=visitor_of(site, n=1))
    assert (response.status_code, "done" in response.text) == (503, False)
    assert data_of(site) == {"n": 10}
    assert [type(event) for event in site.events].count(LockLost) >= 1
    held.close()
    others.close()


def test_serial_request_whose_lease_lapsed_and_whom_nobody_followed_is_stored(build: BuildSite) -> None:
    """A request that was stopped for long while nobody else came is still the last one."""
    site = build(concurrency="serial")

    @site.view
    def stopped() -> str:
        session["n"] += 1
        site.clock.advance(timedelta(seconds=20))
        return ""

    assert site.sender().post("/stopped", headers=visitor_of(site, n=1)).status_code == 200
    assert data_of(site) == {"n": 2}


def test_serial_login_as_another_owner_is_stored(build: BuildSite) -> None:
    """What a request writes after it changed the owner goes to the new session, whose lock nobody holds."""
    site = build(concurrency="serial")

    @site.view
    def login() -> str:
        site.extension.login("bea")
        session["n"] = 2
        return ""

    former = site.guard.create("ana", data={"n": 1})
    assert site.sender().post("/login", headers={"Cookie": f"__Host-sg={former.token}"}).status_code == 200
    assert [(stored.owner, dict(stored.data)) for stored in site.guard.sessions()] == [("bea", {"n": 2})]


@pytest.mark.parametrize("elsewhere", [True, False])
def test_job_with_a_copy_of_the_request_leaves_the_request_alone(build: BuildSite, elsewhere: bool) -> None:
    """In a thread of its own or in this one: the job reads the session, and the request goes on and keeps its turn."""
    site = build(concurrency="serial")

    @site.view
    def work() -> list[Any]:
        @copy_current_request_context
        def job() -> int:
            return int(session["n"])

        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(job).result() if elsewhere else job()
        found = current_session()
        assert found is not None
        session["n"] = read + 1
        return [read, found.data["n"], site.extension.visit.flows.has_turn]

    headers = visitor_of(site, n=1)
    for n in (1, 2):
        answer = site.sender().get("/work", headers=headers)
        assert (answer.json, answer.headers["Vary"]) == ([n, n, True], "Cookie")
    assert data_of(site) == {"n": 3}
