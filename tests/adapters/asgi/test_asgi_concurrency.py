"""What becomes of requests of one session that run at the same time, or are broken off, in each mode."""

import asyncio
import gc
import sys
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, SessionGuard, current_session, open_store
from sessionguard.adapters import concurrency, read_only
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.modes import READ_ONLY
from sessionguard.errors import ConfigurationError, MisuseError
from sessionguard.testing.faults import CancelPoint, cancel_everywhere
from sessionguard.testing.profile import Profile
from tests.adapters.asgi.asgi_site import AsgiSite
from tests.adapters.asgi.calling import Reply, call, scope_of
from tests.adapters.asgi.conftest import BuildSite

TASKS = 8


async def count_up(site: AsgiSite, requests: int) -> list[int]:
    """Let 8 tasks count in one session at once; gives the statuses of all requests."""

    @site.view
    async def count(scope: Any) -> str:
        session = scope["session"]
        seen = session["n"]
        await asyncio.sleep(0)
        session["n"] = seen + 1
        return ""

    token = site.visitor(n=0)

    async def one_task() -> list[int]:
        return [(await call(site.app, "/count", "POST", cookie=token)).status for _ in range(requests)]

    return [status for statuses in await asyncio.gather(*(one_task() for _ in range(TASKS))) for status in statuses]


def test_serial_keeps_every_increment(build: BuildSite, sg_profile: Profile) -> None:
    """8 tasks that increment one value at once keep all of it: 400 of 400 in long runs."""
    requests = 50 if sg_profile.name == "deep" else 6
    site = build(concurrency="serial", lock_timeout=timedelta(seconds=60))
    assert site.run(count_up(site, requests)) == [200] * TASKS * requests
    assert site.data() == {"n": TASKS * requests}


def test_strict_keeps_or_refuses_every_increment(build: BuildSite) -> None:
    """In strict mode each increment is kept or answered 409; none is lost silently."""
    site = build(concurrency="strict")
    statuses = site.run(count_up(site, 4))
    assert set(statuses) <= {200, 409}
    assert site.data() == {"n": statuses.count(200)}


def test_merge_keeps_different_fields(site: AsgiSite) -> None:
    """In the default mode fields written by requests at the same time all survive, those changed in place, too."""
    together = asyncio.Barrier(TASKS)

    @site.view
    async def write(scope: Any) -> str:
        field = scope["query_string"].decode()
        scope["session"]["lists"].append(field) if field == "f0" else scope["session"].update({field: 1})
        await together.wait()
        return ""

    async def all_at_once() -> list[Reply]:
        token = site.visitor(lists=[])
        calls = [call(site.app, "/write", cookie=token, query_string=f"f{n}".encode()) for n in range(TASKS)]
        return list(await asyncio.gather(*calls))

    assert [reply.status for reply in site.run(all_at_once())] == [200] * TASKS
    assert site.data() == {"lists": ["f0"]} | {f"f{n}": 1 for n in range(1, TASKS)}


def test_strict_login_does_not_hide_a_conflict(build: BuildSite) -> None:
    """The version that counts is that of the data the request saw; the new token is handed out all the same."""
    site = build(concurrency="strict")

    @site.view
    async def login(scope: Any) -> str:
        seen = scope["session"]["n"]
        (other,) = site.guard.sessions()
        site.guard.save(other, {"n": 2})
        await scope["state"]["sessionguard"].login("ana")
        scope["session"]["n"] = seen + 10
        return "done"

    reply = site.call("/login", "POST", cookie=site.visitor(n=1))
    assert (reply.status, reply.text) == (409, "Conflict")
    assert reply.token is not None
    assert site.data() == {"n": 2}


def test_serial_wait_is_bounded(build: BuildSite) -> None:
    """A request that does not get its turn in time is answered 503 and does not run; the next one gets it."""
    site = build(concurrency="serial", lock_timeout=timedelta(milliseconds=50))
    ran: list[int] = []

    @site.view
    def view(scope: Any) -> str:
        ran.append(1)
        return ""

    token = site.visitor(n=1)
    (held,) = site.guard.sessions()
    with site.guard.lock(held, "request"):
        reply = site.call("/view", "POST", cookie=token)
        assert (reply.status, reply.header("retry-after"), ran) == (503, ["1"], [])
    assert site.call("/view", "POST", cookie=token).status == 200


@pytest.mark.parametrize("what", ["error", "unstorable", "stream cut off", "login", "logout", "client gone"])
def test_serial_gives_the_turn_back(build: BuildSite, what: str) -> None:
    """However a request ends, the next one of its session has its turn at once."""
    site = build(concurrency="serial", lock_timeout=timedelta(milliseconds=300))

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        visit = scope["state"]["sessionguard"]
        if what == "error":
            raise ZeroDivisionError
        if what == "unstorable":
            scope["session"]["bad"] = object()
        elif what == "login":
            await visit.login("ana")
        elif what == "logout":
            await visit.logout()
        await send({"type": "http.response.start", "status": 200})
        if what == "stream cut off":
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            return
        await send({"type": "http.response.body"})

    async def refuse(message: Any) -> None:
        raise ConnectionResetError("the client has gone")

    token = site.visitor(n=1)
    seen = refuse if what == "client gone" else None
    try:
        site.call("/view", "POST", cookie=token, seen=seen)
    except (ZeroDivisionError, TypeError, ConnectionResetError):
        assert what in ("error", "unstorable", "client gone")
    for session in site.guard.sessions():
        with site.guard.lock(session, "request", timeout=timedelta(milliseconds=50)):
            pass


async def shake_hands(app: Any, token: str) -> None:
    """Open a WebSocket, and go."""
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect"}]

    async def receive() -> Any:
        await asyncio.sleep(0)
        return incoming.pop(0)

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    await app(scope_of("/", headers=[("Cookie", f"__Host-sg={token}")], type="websocket"), receive, send)


@pytest.mark.parametrize("connection", ["http", "websocket"])
@pytest.mark.parametrize("kind", [AsyncSessionGuard, SessionGuard])
def test_t03_t70_cancelled_request_holds_nothing_and_is_stored_whole_or_not_at_all(kind: Any, connection: str) -> None:
    """Wherever a serial request or WebSocket is cancelled, its turn is given back, and no half is stored."""

    async def sweep() -> None:
        store: Any = open_store("memory://")
        served = kind(store, sweep_interval=None)
        guard = AsyncSessionGuard(store, sweep_interval=None)

        async def view(scope: Any, receive: Any, send: Any) -> None:
            scope["session"].update(a=2, b=2)
            if connection == "websocket":
                await send({"type": "websocket.accept"})
                await receive()
                return
            await asyncio.sleep(0)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        app = SessionGuardMiddleware(view, served, concurrency="serial", lock_timeout=timedelta(seconds=5))
        visitor: list[Any] = []

        async def prepare() -> None:
            visitor[:] = [await guard.create(data={"a": 1, "b": 1})]

        async def check(point: CancelPoint) -> None:
            assert current_session() is None
            (session,) = visitor
            async with guard.lock(session, "request", timeout=timedelta(milliseconds=200)):
                found = await guard.get(session.id)
            assert found is not None
            assert found.data["a"] == found.data["b"], point

        async def request() -> None:
            if connection == "websocket":
                await shake_hands(app, visitor[0].token)
            else:
                await call(app, "/", cookie=visitor[0].token)

        report = await cancel_everywhere(request, check, prepare=prepare, ways=("once", "twice", "late"))
        assert report.total >= 6
        await guard.close()
        store.close()

    asyncio.run(sweep())


def test_serial_mounted_view_may_opt_out(build: BuildSite) -> None:
    """Whether a request takes turns can be said by the application, for each request."""
    answers: dict[str, Any] = {"/serial": "serial", "/look": READ_ONLY, "/none": None, "/bad": "parallel"}
    site = build(concurrency=lambda scope: answers[scope["path"]], lock_timeout=timedelta(milliseconds=50))

    def view(scope: Any) -> str:
        return str(scope["session"]["n"])

    for name in ("serial", "look", "none", "bad"):
        view.__name__ = name
        site.view(view)
    token = site.visitor(n=1)
    (held,) = site.guard.sessions()
    with site.guard.lock(held, "request"):
        found = {name: site.call("/" + name, cookie=token).status for name in ("serial", "look", "none")}
    assert found == {"serial": 503, "look": 200, "none": 200}
    with pytest.raises(ConfigurationError, match="concurrency"):
        site.call("/bad", cookie=token)


def test_marked_application_has_its_mode(site: AsgiSite) -> None:
    """An application that is marked as a whole runs in that mode, without any router."""
    store: Any = open_store("memory://")

    async def view(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(MisuseError, match="read_only"):
            scope["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 200})
        await send(
            {"type": "http.response.body", "body": scope["state"]["sessionguard"].flows.mode.concurrency.encode()}
        )

    app = SessionGuardMiddleware(read_only(view), AsyncSessionGuard(store, sweep_interval=None))
    assert asyncio.run(call(app)).text == "merge"
    assert concurrency("strict")(view) is view


def test_t08_session_object_is_sealed_after_the_response(site: AsgiSite) -> None:
    """What outlives its response can be read, and not written, by whoever holds it."""
    kept: list[Any] = []

    @site.view
    def view(scope: Any) -> str:
        kept[:] = [scope["session"], scope["state"]["sessionguard"], current_session()]
        return ""

    site.call("/view", cookie=site.visitor(a=[1]))
    session, visit, current = kept
    assert (session["a"], current.data["a"], current_session()) == ([1], [1], None)
    for write in (
        lambda: session.update(a=2),
        lambda: session.__setitem__("b", 1),
        lambda: session.__ior__({"b": 1}),
        lambda: session.pop("a"),
        session.clear,
        session.popitem,
    ):
        with pytest.raises(RuntimeError, match="sealed"):
            write()
    for change in (visit.login("ana"), visit.logout(), visit.new_session()):
        with pytest.raises(RuntimeError, match="sealed"):
            site.run(change)
    assert site.data() == {"a": [1]}


def test_t09_t10_nothing_of_a_request_is_current_after_it(site: AsgiSite) -> None:
    """Neither a task that it started nor the next request in the same task finds its session."""
    seen: list[Any] = []

    @site.view
    async def view(scope: Any) -> str:
        go_on = scope["go_on"]

        async def job() -> None:
            await go_on.wait()
            seen.append(current_session())

        scope["tasks"].append(asyncio.create_task(job()))
        return str(current_session() is not None)

    @site.view
    def fail(scope: Any) -> str:
        raise ZeroDivisionError

    async def work() -> list[str]:
        go_on, token = asyncio.Event(), site.visitor()
        tasks: list[Any] = []
        with pytest.raises(ZeroDivisionError):
            await call(site.app, "/fail", cookie=token)
        seen.append(current_session())
        replies = [await call(site.app, "/view", cookie=each, go_on=go_on, tasks=tasks) for each in (token, None)]
        seen.append(current_session())
        go_on.set()
        await asyncio.gather(*tasks)
        return [reply.text for reply in replies]

    assert site.run(work()) == ["True", "False"]
    assert seen == [None, None, None, None]


def test_t22_two_logins_at_once_hand_out_one_token(site: AsgiSite) -> None:
    """One of two rotations wins; the other goes on with the session and sets no cookie."""
    together = asyncio.Barrier(2)

    @site.view
    async def login(scope: Any) -> str:
        await together.wait()
        return str((await scope["state"]["sessionguard"].login("ana")).id)

    async def race() -> list[Reply]:
        token = site.visitor(a=1)
        return list(await asyncio.gather(*(call(site.app, "/login", "POST", cookie=token) for _ in range(2))))

    replies = site.run(race())
    assert len({reply.text for reply in replies}) == 1
    assert sorted(reply.token is None for reply in replies) == [False, True]


def test_t26_requests_without_a_session_leave_nothing(site: AsgiSite, sg_profile: Profile) -> None:
    """Looking, unknown tokens, logouts without a session and requests of one visitor leave no row and no memory."""

    @site.view
    async def view(scope: Any) -> str:
        await scope["state"]["sessionguard"].logout()
        scope["session"].clear()
        scope["session"].pop("a", None)
        return str(dict(scope["session"]))

    @site.view
    def read(scope: Any) -> str:
        return str(dict(scope["session"]))

    token = site.visitor(a=1)

    async def rounds(count: int) -> None:
        for number in range(count):
            await call(site.app, "/view", "POST", cookie=f"sg1_0_ab{number:043}" if number % 2 else None)
            assert (await call(site.app, "/read", cookie=token)).text == "{'a': 1}"
            site.store.verbs.clear()
            site.events.clear()

    async def blocks_kept_by(count: int) -> int:
        await rounds(50)
        gc.collect()
        before = sys.getallocatedblocks()
        await rounds(count)
        gc.collect()
        return sys.getallocatedblocks() - before

    assert site.run(blocks_kept_by(5000 if sg_profile.name == "deep" else 100)) < 1000
    assert site.session_count() == 1


def test_expected_session_that_is_another_one_is_409(site: AsgiSite) -> None:
    """A page that carries the id of a session the visitor no longer has is told so, and an event says it."""

    @site.view
    async def view(scope: Any) -> str:
        await scope["state"]["sessionguard"].expect(scope["expected"])
        return "same"

    first, second = site.visitor("ana"), site.visitor("bob")
    ids = [session.id for session in (site.guard.load(first), site.guard.load(second)) if session is not None]
    assert site.call("/view", cookie=first, expected=ids[0]).text == "same"
    assert site.call("/view", cookie=first, expected=ids[1]).status == 409
    assert [type(event).__name__ for event in site.events].count("ContextLost") == 1
