"""A server that answers lines, so that a test of the network sees what arrived and what did not."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import Factory, frozen


@frozen
class LineServer:
    """A running server: where it listens, and the lines that reached it, in order."""

    port: int
    lines: list[bytes] = Factory(list)


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Lines)
        self.lines: list[bytes] = []


class _Lines(socketserver.StreamRequestHandler):
    server: _Listener

    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.server.lines.append(line.strip())
                self.wfile.write(b"done " + line)
        except ConnectionError:
            pass


@contextmanager
def line_server() -> Iterator[LineServer]:
    """Give a server that answers each line with `done` and the line."""
    with _Listener() as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield LineServer(listener.server_address[1], listener.lines)
        finally:
            listener.shutdown()
            thread.join()
