"""The middleware beside others: settings, the life of an application, mounted and nested applications."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, SessionGuard
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.http import CookieSettings, HeaderSettings
from sessionguard.errors import ConfigurationError, MisuseError
from tests.adapters.asgi.calling import call


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """An application that knows requests only, as the specification allows."""
    assert scope["type"] == "http"
    scope["session"].setdefault("n", 1)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": str(dict(scope["session"])).encode()})


def test_settings_are_those_of_every_framework(tmp_path: Any) -> None:
    """A mapping says all; a setting goes before the argument of its name."""
    app = SessionGuardMiddleware.from_settings(
        serve,
        {
            "SESSIONGUARD_URL": f"sqlite:///{tmp_path}/x.db",
            "SESSIONGUARD_COOKIE_SECURE": False,
            "SESSIONGUARD_CONCURRENCY": "serial",
            "SESSIONGUARD_LOCK_TIMEOUT": 3,
            "SESSIONGUARD_ALLOWED_ORIGINS": "https://a.example, https://b.example",
            "SESSIONGUARD_CHECK_INTERVAL": 2.5,
            "OTHER": 1,
        },
        concurrency="strict",
        scope="shop",
    )
    rules = app.rules
    assert isinstance(app.guard, AsyncSessionGuard)
    assert (rules.concurrency, rules.lock_timeout, rules.scope) == ("serial", timedelta(seconds=3), "shop")
    assert isinstance(rules.transport, CookieSettings)
    assert rules.transport.name == "sg"


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text stays text, and what reads as a number or as true and false is one."""
    for key, value in {
        "URL": "memory://",
        "TRANSPORT": "header",
        "HEADER_NAME": "X-Visitor",
        "IDLE_TIMEOUT": "60",
        "MAX_ACTIVE": "2",
        "ON_LIMIT": "end_idle_longest",
        "CHECK_INTERVAL": "null",
        "ALLOWED_ORIGINS": '["https://a.example"]',
    }.items():
        monkeypatch.setenv("SESSIONGUARD_" + key, value)
    rules = SessionGuardMiddleware.from_settings(serve).rules
    assert rules.transport == HeaderSettings(name="X-Visitor")
    monkeypatch.setenv("SESSIONGUARD_LOCK_TIMOUT", "60")
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_LOCK_TIMEOUT"):
        SessionGuardMiddleware.from_settings(serve)


@pytest.mark.parametrize(
    "config",
    [
        {"URL": ""},
        {"URL": "memory://", "COOKIE_SECURE": "yes"},
        {"URL": "memory://", "CHECK_INTERVAL": "often"},
        {"URL": "memory://", "CHECK_INTERVAL": 0},
        {"URL": "memory://", "ALLOWED_ORIGINS": "a.example"},
        {"URL": "memory://", "CONCURRENCY": "parallel"},
    ],
)
def test_setting_that_cannot_be_is_named(config: dict[str, Any]) -> None:
    """What is wrong is told when the application is built, by the name it was given under."""
    (key,) = [key for key in config if key != "URL"] or ["URL"]
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_" + key):
        SessionGuardMiddleware.from_settings(serve, {f"SESSIONGUARD_{name}": value for name, value in config.items()})


def test_guard_must_be_one() -> None:
    """A URL or anything else in the place of the guard is refused with what to do instead."""
    with pytest.raises(ConfigurationError, match="config="):
        SessionGuardMiddleware(serve, "sqlite:///x.db?key=secret")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="give an AsyncSessionGuard"):
        SessionGuardMiddleware(serve, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options, says",
    [
        ({"transport": "header"}, r"transport = 'header': give CookieSettings"),
        ({"transport": CookieSettings}, r"transport = .*: give CookieSettings"),
        ({"external": "select"}, r"external = 'select': .* of the setting SESSIONGUARD_EXTERNAL_IDS"),
    ],
)
def test_value_of_a_setting_is_no_argument(options: dict[str, Any], says: str) -> None:
    """The message says what is one."""
    with SessionGuard.open("memory://") as guard, pytest.raises(ConfigurationError, match=says):
        SessionGuardMiddleware(serve, guard, **options)


# The life of an application


async def live(app: Any, *, shuts_down: bool = True) -> list[str]:
    """Give what `app` answers to a server that starts and stops it."""
    incoming = [{"type": "lifespan.startup"}, *([{"type": "lifespan.shutdown"}] if shuts_down else [])]
    sent: list[str] = []

    async def receive() -> Any:
        if not incoming:
            await asyncio.Event().wait()
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await asyncio.wait_for(app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send), 5)
    return sent


async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    """An application that knows when it starts and stops."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await serve(scope, receive, send)


async def returning(scope: Any, receive: Any, send: Any) -> None:
    """An application that does nothing about what it does not know."""
    if scope["type"] == "http":
        await serve(scope, receive, send)


def is_closed(guard: Any) -> bool:
    """Whether `guard` refuses to work."""
    try:
        asyncio.run(guard.get("x" * 34))
    except MisuseError:
        return True
    return False


@pytest.mark.parametrize("inner", [with_lifespan, serve, returning])
def test_guard_of_the_settings_is_closed_with_the_application(inner: Any) -> None:
    """Whether the application knows of lifespans or not, the server learns that all is down after the guard is."""
    app = SessionGuardMiddleware.from_settings(inner, {"SESSIONGUARD_URL": "memory://"})
    assert asyncio.run(live(app)) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert is_closed(app.guard)


def test_guard_that_was_passed_is_left_open() -> None:
    """Whoever opened it closes it; an application that knows no lifespan is then none of ours to help."""
    guard = AsyncSessionGuard.open("memory://", sweep_interval=None)
    assert len(asyncio.run(live(SessionGuardMiddleware(with_lifespan, guard)))) == 2
    with pytest.raises(AssertionError):
        asyncio.run(live(SessionGuardMiddleware(serve, guard)))
    assert not is_closed(guard)


def test_failed_start_is_told_and_closes_the_guard() -> None:
    """An application that cannot start is not served as if it had."""

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})
        raise ZeroDivisionError

    app = SessionGuardMiddleware.from_settings(failing, {"SESSIONGUARD_URL": "memory://"})
    with pytest.raises(ZeroDivisionError):
        asyncio.run(live(app))
    assert is_closed(app.guard)


def test_server_without_lifespan_is_served() -> None:
    """Requests come without any start, one event loop after another."""
    app = SessionGuardMiddleware.from_settings(serve, {"SESSIONGUARD_URL": "memory://"})
    token = asyncio.run(call(app)).token
    assert asyncio.run(call(app, cookie=token)).text == "{'n': 1}"


def test_unknown_kind_of_connection_is_passed_on() -> None:
    """What the specification may have one day is not ours to stop."""
    seen: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    app: Any = SessionGuardMiddleware(inner, SessionGuard.open("memory://", sweep_interval=None))
    asyncio.run(app({"type": "webtransport"}, None, None))
    assert seen == ["webtransport"]


# Mounted applications


def test_mounted_application_has_its_own_rules() -> None:
    """Sessions, cookies and modes of one within another do not mix, and whoever is around finds his own again."""
    outer_guard = AsyncSessionGuard.open("memory://", sweep_interval=None)
    inner_guard = AsyncSessionGuard.open("memory://", sweep_interval=None)
    seen: list[Any] = []

    async def admin(scope: Any, receive: Any, send: Any) -> None:
        seen.append((dict(scope["session"]), scope["state"]["sessionguard"].guard is inner_guard))
        scope["session"]["admin"] = True
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    mounted = SessionGuardMiddleware(
        admin, inner_guard, transport=CookieSettings(name="__Secure-admin", path="/admin"), concurrency="serial"
    )

    async def shop(scope: Any, receive: Any, send: Any) -> None:
        mine = scope["session"]
        mine["cart"] = 1
        await mounted(scope, receive, send)
        assert scope["session"] is mine
        assert scope["state"]["sessionguard"].guard is outer_guard

    app = SessionGuardMiddleware(shop, outer_guard)

    async def visit() -> Any:
        reply = await call(app)
        cookies = [cookie.partition(";")[0] for cookie in reply.header("set-cookie")]
        again = await call(app, headers=[("Cookie", "; ".join(cookies))])
        sessions = [[dict(s.data) async for s in guard.sessions()] for guard in (outer_guard, inner_guard)]
        return len(cookies), again.header("set-cookie"), reply.header("vary"), sessions

    assert asyncio.run(visit()) == (2, [], ["Cookie"], [[{"cart": 1}], [{"admin": True}]])
    assert seen == [({}, True), ({"admin": True}, True)]


def test_mounted_application_with_the_same_guard_shares_the_session() -> None:
    """Bound twice, a request has one session object and one turn, and does not wait for itself."""
    guard = AsyncSessionGuard.open("memory://", sweep_interval=None)
    options: Any = {"concurrency": "serial", "lock_timeout": timedelta(milliseconds=100)}
    inner = SessionGuardMiddleware(serve, guard, **options)

    async def around(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["around"] = 1
        await inner(scope, receive, send)

    app = SessionGuardMiddleware(around, guard, **options)

    async def visit() -> list[str]:
        token = (await call(app)).token
        return [reply.text for reply in [await call(app, cookie=token)] if len(reply.header("vary")) == 1]

    assert asyncio.run(visit()) == ["{'around': 1, 'n': 1}"]


def test_state_of_the_server_is_kept() -> None:
    """What a lifespan put into the state is there beside the visit."""
    guard = SessionGuard.open("memory://", sweep_interval=None)
    state = {"database": 1}

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        assert (scope["state"]["database"], scope["state"]["sessionguard"].guard) == (1, guard)
        await serve(scope, receive, send)

    asyncio.run(call(SessionGuardMiddleware(inner, guard), state=state))


def test_state_that_a_server_shares_mixes_nobody() -> None:
    """Requests that are given one and the same state, against the specification, each have their own visit."""
    guard = AsyncSessionGuard.open("memory://", sweep_interval=None)

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await together.wait()
        session = await scope["state"]["sessionguard"].session()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": session.owner.encode()})

    app = SessionGuardMiddleware(inner, guard)
    together = asyncio.Barrier(3)

    async def race() -> list[str]:
        state: dict[str, Any] = {}
        owners = ["ana", "bob", "eve"]
        tokens = [(await guard.create(owner)).token for owner in owners]
        for _ in range(2):
            replies = await asyncio.gather(*(call(app, cookie=token, state=state) for token in tokens))
        return [reply.text for reply in replies]

    assert asyncio.run(race()) == ["ana", "bob", "eve"]
