"""A proxy on loopback between a driver and its server, whose network can be made bad while it runs."""

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sessionguard.testing.faults.wire import Cut, Wire, WireState, close_socket
from sessionguard.testing.servers.ports import LOOPBACK, free_port

_BACKLOG = 128
_ACCEPT_SECONDS = 0.2
CLOSE_SECONDS = 5.0


class TcpProxy:
    """Forwards connections to a server, counts what passes, and makes faults on order; use it as a context manager.

    Two faults are attributes: `delay_seconds`, added in each direction, and `bytes_per_second`, None for as fast as it
    goes. The others are calls. `heal` ends them all. All may be called from any thread while traffic flows.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.host = LOOPBACK
        self.port = free_port()
        """Where it listens: the same from the beginning to the end, also while it refuses."""
        self._state = WireState()
        self._wires: list[Wire] = []
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._connections = 0

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def url_of(self, url: str) -> str:
        """Give the URL of the server with the proxy in its place."""
        place = f"{self.target[0]}:{self.target[1]}"
        if place not in url:
            raise ValueError(f"the URL does not name {place}, which this proxy leads to")
        return url.replace(place, f"{self.host}:{self.port}")

    # What passed

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now, on the side of the client."""
        with self._state.changed:
            return sum(not wire.is_closed for wire in self._wires)

    @property
    def bytes_up(self) -> int:
        """How many bytes clients sent so far."""
        return self._state.bytes_up

    @property
    def bytes_down(self) -> int:
        """How many bytes the server sent so far, swallowed ones too."""
        return self._state.bytes_down

    @property
    def round_trips(self) -> int:
        """How often a reply followed a request so far, over all connections.

        A reply is counted before it is forwarded, so whoever has a reply finds it counted. Requests that were sent
        together, without waiting, are one round trip.
        """
        return self._state.round_trips

    def wait_until(self, is_so: Callable[[Self], bool], seconds: float = CLOSE_SECONDS) -> bool:
        """Wait until `is_so(proxy)` holds, looked at whenever something passed; tells whether it does."""
        with self._state.changed:
            return self._state.changed.wait_for(lambda: is_so(self), seconds)

    # Faults

    @property
    def delay_seconds(self) -> float:
        """How long everything is held back, in each direction."""
        return self._state.delay_seconds

    @delay_seconds.setter
    def delay_seconds(self, seconds: float) -> None:
        self._state.change(delay_seconds=seconds)

    @property
    def bytes_per_second(self) -> float | None:
        """How fast a connection is in each direction."""
        return self._state.bytes_per_second

    @bytes_per_second.setter
    def bytes_per_second(self, speed: float | None) -> None:
        self._state.change(bytes_per_second=speed)

    def cut(self) -> None:
        """All connections are closed, on both sides; new ones are accepted."""
        with self._state.changed:
            wires = list(self._wires)
        for wire in wires:
            wire.cut()

    def refuse(self) -> None:
        """New connections are refused; those that are open go on."""
        listener, acceptor = self._listener, self._acceptor
        self._listener = self._acceptor = None
        if listener is not None:
            close_socket(listener)
        if acceptor is not None:
            acceptor.join(CLOSE_SECONDS)

    def accept(self) -> None:
        """New connections are accepted (again)."""
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            listener.listen(_BACKLOG)
            # Not every system wakes a thread that waits in accept() when its socket is closed.
            listener.settimeout(_ACCEPT_SECONDS)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept_from, args=(listener,), name="proxy", daemon=True)
        self._acceptor.start()

    def half_open(self) -> None:
        """Nothing is forwarded any more, and no one is told: connections stay open, new ones are accepted.

        What is sent meanwhile is held; after `heal` it goes on, as packets do after a partition.
        """
        self._state.change(is_held=True)

    def drop_replies(self, count: int = 1) -> None:
        """The next `count` requests reach the server; the reply of each is swallowed, and its connection cut."""
        self._state.plan(Cut(count=count))

    def cut_after_request(self, matching: bytes = b"", *, nth: int = 1) -> None:
        """The `nth` request from now that holds `matching` reaches the server; its reply is swallowed, then it is cut.

        The connection is cut when the reply arrives, so by then the server has done what was asked. A statement that a
        driver has prepared before goes over the wire without its text: count requests then.
        """
        self._state.plan(Cut(matching=matching, skip=nth - 1))

    def heal(self) -> None:
        """Every fault is over, and what was held goes on; connections that were cut stay cut."""
        self._state.change(delay_seconds=0.0, bytes_per_second=None, is_held=False)
        self._state.forget_plans()
        self.accept()

    def close(self) -> None:
        """Everything is closed, and every thread has ended."""
        self.refuse()
        self._state.change(is_held=False, delay_seconds=0.0, bytes_per_second=None)
        self.cut()
        deadline = time.monotonic() + CLOSE_SECONDS
        for wire in self._wires:
            wire.join(deadline)

    def _accept_from(self, listener: socket.socket) -> None:
        while listener is self._listener:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(None)
            wire = Wire(client, self.target, self._state)
            with self._state.changed:
                self._wires = [one for one in self._wires if not one.is_over] + [wire]
                self._connections += 1
                self._state.changed.notify_all()
            wire.start()
