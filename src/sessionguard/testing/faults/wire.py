"""One connection through a proxy: two threads that forward, and the faults they obey."""

import contextlib
import socket
import threading
import time
from typing import Any, Final, Literal

from attrs import Factory, define

CHUNK_BYTES: Final = 65_536
CONNECT_SECONDS: Final = 5.0
_PIECE_SECONDS: Final = 0.05
# By which an HTTP server asks for the rest of a request; the reply is still to come (RFC 9110, 15.2.1).
_GO_ON: Final = b"HTTP/1.1 100 "

Direction = Literal["up", "down"]


@define(eq=False)
class Cut:
    """An order: of the requests that hold `matching`, let `skip` pass, then cut the connections of `count`."""

    matching: bytes = b""
    skip: int = 0
    count: int = 1


@define
class WireState:
    """The faults and the counts that all connections of a proxy share; guarded by `changed`."""

    changed: threading.Condition = Factory(threading.Condition)
    delay_seconds: float = 0.0
    bytes_per_second: float | None = None
    is_held: bool = False
    bytes_up: int = 0
    bytes_down: int = 0
    round_trips: int = 0
    cuts: list[Cut] = Factory(list)

    def change(self, **faults: Any) -> None:
        """Set faults; whoever waits looks again."""
        with self.changed:
            for name, value in faults.items():
                setattr(self, name, value)
            self.changed.notify_all()

    def plan(self, cut: Cut) -> None:
        """Add an order."""
        with self.changed:
            self.cuts.append(cut)

    def forget_plans(self) -> None:
        """Drop every order that is not done yet."""
        with self.changed:
            self.cuts.clear()


class Wire:
    """One client, its connection to the server, and the two threads between them."""

    def __init__(self, client: socket.socket, target: tuple[str, int], state: WireState) -> None:
        self._client = client
        self._server: socket.socket | None = None
        self._target = target
        self._state = state
        self._turn: Direction = "down"
        self._request_tail = b""
        self._judged: list[Cut] = []
        self._is_doomed = False
        self.is_closed = False
        """Whether the client's side is closed."""
        self._threads = [threading.Thread(target=self._run, name="proxy up", daemon=True)]

    @property
    def is_over(self) -> bool:
        """Whether its threads have ended."""
        return self.is_closed and not any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Connect to the server and begin to forward."""
        self._threads[0].start()

    def cut(self) -> None:
        """Close both sides; the threads end."""
        with self._state.changed:
            self.is_closed = True
            for end in (self._client, self._server):
                if end is not None:
                    close_socket(end)
            self._state.changed.notify_all()

    def join(self, deadline: float) -> None:
        """Wait for its threads, until `deadline` at most."""
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        try:
            server = socket.create_connection(self._target, timeout=CONNECT_SECONDS)
        except OSError:
            self.cut()
            return
        server.settimeout(None)
        for end in (self._client, server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._state.changed:
            self._server = server
            is_cut = self.is_closed
        if is_cut:
            close_socket(server)
            return
        down = threading.Thread(target=self._forward, args=(server, self._client, "down"), daemon=True)
        self._threads.append(down)
        down.start()
        self._forward(self._client, server, "up")
        down.join()
        self.cut()

    def _forward(self, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        try:
            while data := source.recv(CHUNK_BYTES):
                if not self._passes(direction, data):
                    self.cut()
                    return
                self._send_slowly(sink, data)
            self._wait_while_held()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # One side was reset: the other one hears of it.
            self.cut()

    def _passes(self, direction: Direction, data: bytes) -> bool:
        """Count what came and judge it: a reply to a request that an order names does not pass."""
        state = self._state
        with state.changed:
            if direction == "down" and _is_interim(data):
                state.bytes_down += len(data)
                state.changed.notify_all()
                return True
            if direction == "up":
                state.bytes_up += len(data)
                self._judge_request(data)
            else:
                state.bytes_down += len(data)
                state.round_trips += self._turn == "up"
            self._turn = direction
            state.changed.notify_all()
            return direction == "up" or not self._is_doomed

    def _judge_request(self, data: bytes) -> None:
        if self._turn == "down":
            self._request_tail, self._judged = b"", []
        text = self._request_tail + data
        for cut in list(self._state.cuts):
            # A request counts once, also when it comes in several parts.
            if cut.matching not in text or any(cut is one for one in self._judged):
                continue
            self._judged.append(cut)
            if cut.skip:
                cut.skip -= 1
                continue
            if self._is_doomed:
                # One request uses up one order.
                continue
            self._is_doomed = True
            cut.count -= 1
            if not cut.count:
                self._state.cuts.remove(cut)
        longest = max((len(cut.matching) for cut in self._state.cuts), default=1)
        self._request_tail = text[-longest:]

    def _send_slowly(self, sink: socket.socket, data: bytes) -> None:
        state = self._state
        self._wait(state.delay_seconds)
        rest = memoryview(data)
        while rest:
            self._wait_while_held()
            speed = state.bytes_per_second
            size = len(rest) if speed is None else max(1, int(speed * _PIECE_SECONDS))
            if speed is not None:
                self._wait(size / speed, lambda speed=speed: state.bytes_per_second != speed)
            sink.sendall(rest[:size])
            rest = rest[size:]

    def _wait(self, seconds: float, is_enough: Any = lambda: False) -> None:
        if seconds > 0:
            with self._state.changed:
                self._state.changed.wait_for(lambda: self.is_closed or is_enough(), seconds)

    def _wait_while_held(self) -> None:
        with self._state.changed:
            self._state.changed.wait_for(lambda: self.is_closed or not self._state.is_held)


def _is_interim(data: bytes) -> bool:
    """Tell whether nothing but such answers came: some servers give two, at once or one after the other."""
    *heads, rest = data.split(b"\r\n\r\n")
    return not rest and bool(heads) and all(head.startswith(_GO_ON) for head in heads)


def close_socket(end: socket.socket) -> None:
    """Close a socket for all: threads that wait in it wake, and copies in forked children do not keep it open."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
