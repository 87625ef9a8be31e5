"""WebSockets and streams: resolved at the handshake, refused to other sites, over when their session is over."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import current_session
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.errors import ConfigurationError, SessionSealedError
from tests.adapters.asgi.asgi_site import AsgiSite
from tests.adapters.asgi.calling import ManualPace, Reply, Socket, call, settled
from tests.adapters.asgi.conftest import BuildSite

# On a store that answers in the loop, so that what a moment brings is certain.
pytestmark = pytest.mark.parametrize("build", ["memory"], indirect=True)


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> ManualPace:
    """Give the time that passes for long connections."""
    pace = ManualPace()
    monkeypatch.setattr(SessionGuardMiddleware, "pace", pace)
    return pace


def serve_echo(site: AsgiSite) -> None:
    """Serve a WebSocket that says who is there, and answers each message until the client has gone."""

    @site.view
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        greeting = str(dict(scope["session"]))
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": greeting})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


def test_session_is_there_at_the_handshake(site: AsgiSite) -> None:
    """One query finds it; messages that follow ask nothing."""
    serve_echo(site)

    async def talk() -> list[str]:
        async with Socket(site.app, "/echo", cookie=site.visitor(a=1)) as socket:
            await socket.say("hello")
            return socket.heard

    assert site.run(talk()) == ["{'a': 1}", "hello"]
    assert site.store.asked() == ["load"]


HOST = ("Host", "site.example")
ORIGINS = {
    (): True,
    ("https://site.example",): True,
    ("https://site.example:443",): True,
    ("https://SITE.example",): True,
    ("https://site.example:8443",): False,
    ("https://evil.example",): False,
    ("https://site.example.evil.example",): False,
    ("https://evilsite.example",): False,
    ("http://site.example",): False,
    ("null",): False,
    ("",): False,
    ("https://site.example@evil.example",): False,
    ("https://evil.example@site.example",): False,
    ("https://site.example", "https://evil.example"): False,
    ("https://[",): False,
    ("https://site.example:0",): False,
    ("https://site.example:99999",): False,
    ("https://site.example/",): False,
    ("file://",): False,
    ("https://app.example",): True,
}


@pytest.mark.parametrize("origins", ORIGINS)
def test_t11_t43_handshake_of_another_site_is_refused(build: BuildSite, origins: tuple[str, ...]) -> None:
    """A page of another site cannot speak with the visitor's cookie: no store is asked and no application runs."""
    site = build(allowed_origins=["https://app.example"])
    serve_echo(site)

    async def knock() -> tuple[Any, list[str]]:
        headers = [HOST, *(("Origin", origin) for origin in origins)]
        token = site.visitor(a=1)
        async with Socket(site.app, "/echo", cookie=token, headers=headers) as socket:
            return socket.sent[0]["type"], site.store.asked()

    expected = ("websocket.accept", ["load"]) if ORIGINS[origins] else ("websocket.close", [])
    assert site.run(knock()) == expected


def test_options_of_long_connections_are_checked(build: BuildSite) -> None:
    """What could never be an origin or an interval is refused where it is written."""
    for origins in ("https://a.example", ["a.example"], ["https://a.example/"], ["https://a.example:443"], [1], None):
        with pytest.raises(ConfigurationError, match="SESSIONGUARD_ALLOWED_ORIGINS"):
            build(allowed_origins=origins)
    for interval in (timedelta(0), 5, timedelta(seconds=-1)):
        with pytest.raises(ConfigurationError, match="SESSIONGUARD_CHECK_INTERVAL"):
            build(check_interval=interval)


@pytest.mark.parametrize("how", ["logout", "expired", "another owner"])
def test_t11_websocket_ends_with_its_session(site: AsgiSite, pace: ManualPace, how: str) -> None:
    """Within one interval of the end the client is closed with 4401, and the application hears that it has gone."""
    heard: list[Any] = []

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert current_session() is not None
        heard.append(await receive())
        heard.append(current_session())
        with pytest.raises(OSError, match="session ended"):
            await send({"type": "websocket.send", "text": "too late"})

    async def live() -> None:
        async with Socket(site.app, "/view", cookie=site.visitor(a=1)) as socket:
            await pace.advance(5)
            (session,) = site.guard.sessions()
            if how == "logout":
                site.guard.end(session)
            elif how == "expired":
                site.clock.advance(timedelta(hours=3))
            else:
                site.guard.rotate(session, owner="ana")
            await pace.advance(4)
            seen: list[Any] = [socket.closed_with]
            await pace.advance(1)
            seen += [socket.closed_with, *socket.heard]
            assert (seen, socket.is_served) == ([None, 4401], False)

    site.run(live())
    assert heard == [{"type": "websocket.disconnect", "code": 4401, "reason": "session ended"}, None]


def test_t11_application_that_listens_to_nobody_is_cancelled(site: AsgiSite, pace: ManualPace) -> None:
    """One that waits for something else is stopped an interval later, and what it holds is given back."""
    cleaned: list[str] = []

    @site.view
    async def feed(scope: Any, receive: Any, send: Any) -> None:
        len(scope["session"])
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")

    async def live() -> None:
        async with Socket(site.app, "/feed", cookie=site.visitor(a=1)) as socket:
            (session,) = site.guard.sessions()
            site.guard.end(session)
            await pace.advance(5)
            assert (socket.closed_with, socket.is_served) == (4401, True)
            await pace.advance(5)
            assert not socket.is_served

    site.run(live())
    assert cleaned == ["up"]


def test_t11_message_after_a_standstill_is_not_handled_for_an_ended_session(site: AsgiSite, pace: ManualPace) -> None:
    """What comes when no look was possible for longer than an interval is looked at first."""
    serve_echo(site)

    async def live() -> None:
        async with Socket(site.app, "/echo", cookie=site.visitor(a=1)) as socket:
            (session,) = site.guard.sessions()
            site.guard.end(session)
            await pace.advance(60, wakes=False)
            await socket.say("transfer")
            assert (socket.closed_with, socket.heard) == (4401, ["{'a': 1}"])

    site.run(live())


def test_t11_outage_closes_nothing(site: AsgiSite, pace: ManualPace) -> None:
    """A store that cannot be asked is no end of the session; the next look asks again."""
    serve_echo(site)

    async def live() -> None:
        async with Socket(site.app, "/echo", cookie=site.visitor(a=1)) as socket:
            (session,) = site.guard.sessions()
            site.guard.end(session)
            site.store.failing = {"get"}
            await pace.advance(5)
            await socket.say("still here")
            assert (socket.closed_with, socket.heard[-1]) == (None, "still here")
            site.store.failing = set()
            await pace.advance(5)
            assert socket.closed_with == 4401

    site.run(live())


def test_t24_only_a_client_that_speaks_keeps_its_session(site: AsgiSite, pace: ManualPace) -> None:
    """An open tab alone extends nothing; messages do, now and then."""
    serve_echo(site)

    async def live(speaks: bool) -> int | None:
        async with Socket(site.app, "/echo", cookie=site.visitor(a=1)) as socket:
            for _ in range(4):
                if speaks:
                    await socket.say("x")
                site.clock.advance(timedelta(hours=1))
                await pace.advance(3600)
            return socket.closed_with

    assert [site.run(live(speaks)) for speaks in (True, False)] == [None, 4401]


def test_t11_connection_that_does_not_use_the_session_is_left_alone(site: AsgiSite, pace: ManualPace) -> None:
    """A public feed is nobody's: no store is asked for it again, whoever logs out."""

    @site.view
    async def public(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    async def live() -> None:
        async with Socket(site.app, "/public", cookie=site.visitor(a=1)) as socket:
            (session,) = site.guard.sessions()
            site.guard.end(session)
            site.store.asked()
            await pace.advance(5)
            assert (socket.closed_with, site.store.asked()) == (None, [])

    site.run(live())


def test_no_watch_without_a_session_or_an_interval(build: BuildSite, pace: ManualPace) -> None:
    """Nobody waits for a visitor without a session, nor where looking was turned off."""
    for site, cookie in ((build(), False), (build(check_interval=None), True)):
        serve_echo(site)

        async def live() -> int:
            token = site.visitor() if cookie else None  # noqa: B023
            async with Socket(site.app, "/echo", cookie=token):  # noqa: B023
                return pace.waiting

        assert site.run(live()) == 0


def test_message_is_not_lost_where_the_application_stops_waiting(site: AsgiSite) -> None:
    """What comes after a wait was given up is there at the next one."""
    heard: list[Any] = []

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        waiting = asyncio.create_task(receive())
        await settled()
        waiting.cancel()
        heard.append((await asyncio.wait([waiting]))[0].pop().cancelled())
        heard.extend([await receive(), await receive()])

    async def live() -> None:
        async with Socket(site.app, "/view", cookie=site.visitor()) as socket:
            await settled()
            await socket.say("one")
            await socket.say("two")

    site.run(live())
    assert [heard[0], *(message["text"] for message in heard[1:])] == [True, "one", "two"]


def test_login_before_the_handshake_is_answered_hands_out_the_token(site: AsgiSite) -> None:
    """What is written and opened before the acceptance is stored with it; afterwards the session is sealed."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        visit = scope["state"]["sessionguard"]
        await visit.login("ana")
        scope["session"]["a"] = 1
        await send({"type": "websocket.accept", "headers": [(b"x-own", b"1")], "subprotocol": "chat"})
        with pytest.raises(SessionSealedError):
            scope["session"]["b"] = 1
        with pytest.raises(SessionSealedError):
            await visit.logout()

    async def live() -> dict[str, Any]:
        async with Socket(site.app, "/view") as socket:
            return socket.sent[0]

    accepted = site.run(live())
    headers = dict(accepted["headers"])
    assert (accepted["subprotocol"], headers[b"x-own"]) == ("chat", b"1")
    assert headers[b"set-cookie"].startswith(b"__Host-sg=sg1_")
    assert site.data() == {"a": 1}


def test_t70_serial_websocket_does_not_keep_others_waiting(build: BuildSite) -> None:
    """It has its turn until it is accepted, and not for as long as it lives."""
    site = build(concurrency="serial", lock_timeout=timedelta(milliseconds=300))
    serve_echo(site)

    @site.view
    def count(scope: Any) -> str:
        scope["session"]["n"] += 1
        return ""

    async def live() -> list[int]:
        token = site.visitor(n=1)
        async with Socket(site.app, "/echo", cookie=token):
            return [(await call(site.app, "/count", cookie=token)).status for _ in range(2)]

    assert site.run(live()) == [200, 200]
    assert site.data() == {"n": 3}


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
@pytest.mark.parametrize("verb", ["load", "save"])
def test_t60_outage_at_the_handshake_is_told(site: AsgiSite, verb: str, extensions: Any) -> None:
    """A client is not accepted as nobody while the store is away: 503 where the server can say so."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["session"]["a"] = 2
        await send({"type": "websocket.accept"})

    async def live() -> list[Any]:
        token = site.visitor(a=1)
        site.store.failing = {verb}
        async with Socket(site.app, "/view", cookie=token, extensions=extensions) as socket:
            return socket.sent

    first = site.run(live())[0]
    if extensions:
        assert (first["type"], first["status"]) == ("websocket.http.response.start", 503)
        assert (b"retry-after", b"5") in first["headers"]
    else:
        assert (first["type"], first["code"]) == ("websocket.close", 1013)


def test_error_of_ours_after_the_acceptance_closes(site: AsgiSite) -> None:
    """The client learns when to come back, and nothing else."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await scope["state"]["sessionguard"].own_sessions()

    async def live() -> Any:
        token = site.visitor("ana")
        site.store.failing = {"page"}
        async with Socket(site.app, "/view", cookie=token) as socket:
            return socket.sent[-1]

    assert site.run(live()) == {"type": "websocket.close", "code": 1013, "reason": "store_unavailable"}


# Streams


@pytest.mark.parametrize("is_ended", [True, False])
def test_t11_stream_ends_with_its_session(site: AsgiSite, pace: ManualPace, is_ended: bool) -> None:
    """Within one interval of the end the stream breaks off without its last piece, so that it does not look whole."""
    cleaned: list[str] = []

    @site.view
    async def stream(scope: Any, receive: Any, send: Any) -> None:
        len(scope["session"])
        go_on = scope["go_on"]
        await send({"type": "http.response.start", "status": 200})
        try:
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"two"})
        finally:
            cleaned.append("up")

    async def live() -> tuple[Reply, int]:
        go_on = asyncio.Event()
        reply = Reply()

        async def note(message: Any) -> None:
            reply.messages.append(message)

        token = site.visitor(a=1)
        serving = asyncio.create_task(call(site.app, "/stream", cookie=token, go_on=go_on, seen=note))
        await settled()
        await pace.advance(5)
        if is_ended:
            (session,) = site.guard.sessions()
            site.guard.end(session)
        await pace.advance(5)
        await pace.advance(5)
        go_on.set()
        await serving
        return reply, pace.waiting

    reply, waiting = site.run(live())
    assert (reply.text, cleaned, waiting) == ("one" if is_ended else "onetwo", ["up"], 0)


@pytest.mark.parametrize("is_stopped", [True, False])
def test_t11_stream_that_waits_for_its_first_event_ends(site: AsgiSite, pace: ManualPace, is_stopped: bool) -> None:
    """Nothing is told for a session that ended before anything was, nor where no look was possible by then."""
    cleaned: list[str] = []

    @site.view
    async def events(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            await scope["go_on"].wait()
            await send({"type": "http.response.body", "body": b"secret", "more_body": True})
        finally:
            # It takes its time, and is not broken off by the next look.
            await pace.advance(5)
            cleaned.append("up")
            # As one does that makes an end of its own where it is cancelled: the rest is not to look whole.
            await send({"type": "http.response.body", "body": b"bye"})

    async def live() -> tuple[list[str], int]:
        go_on = asyncio.Event()
        told: list[str] = []

        async def note(message: Any) -> None:
            told.append(message["type"])

        serving = asyncio.create_task(call(site.app, "/events", cookie=site.visitor(a=1), go_on=go_on, seen=note))
        await settled()
        (session,) = site.guard.sessions()
        site.guard.end(session)
        await pace.advance(60 if is_stopped else 5, wakes=not is_stopped)
        go_on.set()
        await serving
        await settled()
        return told, pace.waiting

    assert site.run(live()) == (["http.response.start"], 0)
    assert cleaned == ["up"]


def test_cancellation_by_somebody_else_stays_one(site: AsgiSite, pace: ManualPace) -> None:
    """A request that a server cancels ends as cancelled, also where it is watched."""

    @site.view
    async def stream(scope: Any, receive: Any, send: Any) -> None:
        len(scope["session"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await asyncio.Event().wait()

    async def live() -> int:
        serving = asyncio.create_task(call(site.app, "/stream", cookie=site.visitor(a=1)))
        await settled()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await settled()
        return pace.waiting

    assert site.run(live()) == 0


def test_short_responses_are_not_watched(site: AsgiSite, pace: ManualPace) -> None:
    """A response that is sent in one piece costs no task."""

    @site.view
    def view(scope: Any) -> str:
        return str(dict(scope["session"]))

    assert site.call("/view", cookie=site.visitor(a=1)).text == "{'a': 1}"
    assert pace.seconds == 0
    assert pace.waiting == 0
