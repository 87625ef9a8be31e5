"""The reverse proxy sends requests to the instances strictly in turn, and passes them on unharmed."""

import socketserver
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import pytest

from sessionguard.cli.demo.balancer import LOOPBACK, MAX_BODY_BYTES, RoundRobin


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("X-Host", self.headers["Host"])
        self.send_header("X-Cookie", self.headers.get("Cookie", "none"))
        self.send_header("X-Port", str(self.connection.getsockname()[1]))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Port", str(self.connection.getsockname()[1]))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def backends() -> Iterator[list[tuple[str, int]]]:
    """Two instances that echo."""
    servers = [socketserver.ThreadingTCPServer((LOOPBACK, 0), _Echo) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers]
    for thread in threads:
        thread.start()
    yield [(LOOPBACK, server.server_address[1]) for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()


def _status_and_port(url: str) -> tuple[int, str]:
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except urllib.error.HTTPError as reply:
        with reply:
            return reply.code, reply.headers["X-Port"]
    raise AssertionError("the backend answers GET with 404")


def test_requests_alternate(backends: list[tuple[str, int]]) -> None:
    """One request goes to the first instance, the next to the second, and so on."""
    with RoundRobin(backends) as balancer:
        answers = [_status_and_port(balancer.url) for _ in range(6)]
    assert answers == [(404, str(backends[turn % 2][1])) for turn in range(6)]


def test_parallel_requests_alternate_too(backends: list[tuple[str, int]]) -> None:
    """However many requests come at once, the turns stay strict and every instance gets its half."""
    with RoundRobin(backends) as balancer, ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(_status_and_port, [balancer.url] * 40))
    assert balancer.order == [0, 1] * 20
    assert sorted(port for _, port in answers) == sorted([str(port) for _, port in backends] * 20)


def test_request_and_answer_pass_unharmed(backends: list[tuple[str, int]]) -> None:
    """Status, body, cookies and repeated headers arrive as they were sent; the host stays the one asked for."""
    body = bytes(range(256)) * 300
    with RoundRobin(backends) as balancer:
        request = urllib.request.Request(f"{balancer.url}/x?y=1", data=body, headers={"Cookie": "sg=1; t=2"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert (reply.status, reply.read()) == (201, body)
            assert reply.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
            assert reply.headers["X-Cookie"] == "sg=1; t=2"
            assert f"http://{reply.headers['X-Host']}" == balancer.url


def test_it_listens_on_loopback_only(backends: list[tuple[str, int]]) -> None:
    """Nothing outside this machine reaches it."""
    with RoundRobin(backends) as balancer:
        assert balancer.url.startswith("http://127.0.0.1:")


def test_a_dead_instance_is_an_answer(backends: list[tuple[str, int]]) -> None:
    """The client of an instance that is gone gets 502 and is not left waiting."""
    with socketserver.TCPServer((LOOPBACK, 0), _Echo) as gone:
        address = (LOOPBACK, gone.server_address[1])
    with RoundRobin([address]) as balancer, pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(balancer.url, timeout=10)
    with caught.value:
        assert caught.value.code == 502


def test_a_body_over_the_limit_is_refused(backends: list[tuple[str, int]]) -> None:
    """A body beyond the limit is answered 413 before it is read."""
    with RoundRobin(backends) as balancer:
        request = urllib.request.Request(
            balancer.url, data=b"x", headers={"Content-Length": str(MAX_BODY_BYTES + 1)}, method="POST"
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
    with caught.value:
        assert caught.value.code == 413
