"""WebSockets and streams over real connections of a real server."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sessionguard import SessionGuard, open_store
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.http import CookieSettings

SECONDS = 20


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Echo over WebSockets; stream without an end over HTTP."""
    len(scope["session"])
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while (await receive())["type"] != "http.disconnect":
        await send({"type": "http.response.body", "body": b"piece", "more_body": True})


@pytest.fixture
def guard() -> Iterator[SessionGuard]:
    """Give the guard of the application."""
    with SessionGuard(open_store("memory://"), sweep_interval=None) as guard:
        yield guard


@pytest.fixture
def address(guard: SessionGuard) -> Iterator[str]:
    """Serve the application; gives host and port."""
    app: Any = SessionGuardMiddleware(
        application,
        guard,
        concurrency="serial",
        transport=CookieSettings(secure=False),
        check_interval=timedelta(milliseconds=50),
    )
    config = uvicorn.Config(app, port=0, ws="websockets-sansio", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    # Before the server does: whoever connects meanwhile waits for it.
    listening.listen()
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(SECONDS)
        listening.close()


@pytest.fixture
def cookie(guard: SessionGuard) -> dict[str, str]:
    """Give the header of a visitor with a session."""
    return {"Cookie": f"sg={guard.create('ana').token}"}


def end(guard: SessionGuard) -> None:
    """End the only session."""
    (session,) = guard.sessions()
    guard.end(session)


def test_t11_websocket_is_closed_when_its_session_ends(address: str, guard: SessionGuard, cookie: Any) -> None:
    """A browser on this host is served until the logout, and told 4401 then; in serial mode it holds no turn."""
    origin: Any = f"http://{address}"
    with connect(f"ws://{address}/", additional_headers=cookie, origin=origin, open_timeout=SECONDS) as socket:
        socket.send("hello")
        assert socket.recv(SECONDS) == "hello"
        (session,) = guard.sessions()
        with guard.lock(session, "request", timeout=timedelta(seconds=SECONDS)):
            pass
        end(guard)
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(SECONDS)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4401, "session ended")


def test_t43_handshake_of_another_site_is_403(address: str, cookie: Any) -> None:
    """A page of another site does not get as far as the application."""
    evil: Any = "https://evil.example"
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://{address}/", additional_headers=cookie, origin=evil, open_timeout=SECONDS)
    assert caught.value.response.status_code == 403


def test_t11_stream_breaks_off_when_its_session_ends(address: str, guard: SessionGuard, cookie: Any) -> None:
    """The client sees that it did not come to its end."""

    def read_all(response: httpx.Response) -> None:
        for piece in response.iter_raw():
            assert piece
            if list(guard.sessions()):
                end(guard)

    with (
        httpx.Client(timeout=SECONDS) as client,
        client.stream("POST", f"http://{address}/", headers=cookie, content=iter([b"x"])) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        read_all(response)
