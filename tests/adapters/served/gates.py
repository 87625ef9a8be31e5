"""Gates at which a request waits until the test lets it go: a view inside another process stops where it is told to."""

import socket
from types import TracebackType
from typing import Self

from sessionguard.testing.servers.ports import LOOPBACK

SECONDS = 60.0
"""Nobody waits longer; whoever is late by then has failed."""


def wait_at(gate: str | None) -> None:
    """Stop here, in the view, until the test opens the gate; without one go on."""
    if gate:
        with socket.create_connection((LOOPBACK, int(gate)), timeout=SECONDS) as line:
            line.recv(1)


class Gate:
    """A gate: the test waits until requests stand before it, and lets them go on."""

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self._listener.settimeout(SECONDS)
        self._waiting: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open()
        self._listener.close()

    def __str__(self) -> str:
        """What the view is told."""
        return str(self._listener.getsockname()[1])

    def wait_for(self, count: int = 1) -> None:
        """Wait until `count` requests more stand before the gate."""
        for _ in range(count):
            line, _ = self._listener.accept()
            self._waiting.append(line)

    def open(self) -> None:
        """Let all go on who stand before it."""
        while self._waiting:
            self._waiting.pop().close()
