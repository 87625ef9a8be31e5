"""A round-robin reverse proxy on loopback: request after request goes to the next instance, strictly in turn."""

import http.client
import itertools
import socketserver
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

LOOPBACK = "127.0.0.1"
BACKEND_SECONDS = 10.0
MAX_BODY_BYTES = 8 * 1024 * 1024
_OF_ONE_CONNECTION = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})


class RoundRobin:
    """The proxy; it serves between entering and leaving."""

    def __init__(self, backends: Sequence[tuple[str, int]]) -> None:
        self._turns = itertools.cycle(range(len(backends)))
        self._backends = backends
        self._lock = threading.Lock()
        self.order: list[int] = []
        """Which backend each request went to, oldest first."""

    def __enter__(self) -> Self:
        self._server = _Server(self)
        # Polled often, because closing waits for the next poll.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where browsers find it."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def next_backend(self) -> tuple[str, int]:
        """Give the backend whose turn it is."""
        with self._lock:
            turn = next(self._turns)
            self.order.append(turn)
            return self._backends[turn]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, balancer: RoundRobin) -> None:
        self.balancer = balancer
        super().__init__((LOOPBACK, 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = BACKEND_SECONDS

    def _pass_on(self) -> None:
        size_bytes = int(self.headers.get("Content-Length", 0))
        if size_bytes > MAX_BODY_BYTES:
            self.send_error(413)
            return
        self._forward(self.rfile.read(size_bytes))

    do_GET = do_POST = _pass_on

    def _forward(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(*self.server.balancer.next_backend(), timeout=BACKEND_SECONDS)
        try:
            headers = [(name, value) for name, value in self.headers.items() if name.lower() not in _OF_ONE_CONNECTION]
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in [*headers, ("Connection", "close")]:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.send_error(502)
            return
        finally:
            connection.close()
        self._answer(response, content)

    def _answer(self, response: http.client.HTTPResponse, content: bytes) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _OF_ONE_CONNECTION | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the report of the demonstration says what happened."""
