"""Blocking connections to one server: a bounded number, lent to one caller at a time, never across a fork.

A signal handler may raise at any line here. A connection that is lost so on its way closes itself, and its place is
free again, because the pool counts those that are there and not those that it lent.
"""

import contextlib
import threading
import time
import weakref

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.redis import handshake
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.lines import Line
from sessionguard.stores.redis.settings import Settings

_LOOK_AGAIN_SECONDS = 0.05


class Pool:
    """The connections to one server."""

    def __init__(self, settings: Settings, address: Address) -> None:
        self.address = address
        self._settings = settings
        self._idle: list[Line] = []
        self._living: weakref.WeakSet[Line] = weakref.WeakSet()
        self._freed = threading.Condition()
        self._waiting = 0
        self._is_checked = False
        # What is lent outlives its epoch and is closed when it comes back.
        self._epoch = object()

    def __len__(self) -> int:
        return len(self._living)

    @property
    def idle(self) -> tuple[Line, ...]:
        """Those that nobody uses now."""
        return tuple(self._idle)

    def take(self, deadline: float) -> Line:
        """Give a connection that is ready for a request; it must be given back or discarded.

        Raises:
            StoreTimeoutError: all were in use until the deadline.
        """
        while True:
            line = self._pop_clean()
            if line is not None:
                return line
            line = self._reserve()
            if line is not None:
                return self._connected(line, deadline)
            self._wait(deadline)

    def _pop_clean(self) -> Line | None:
        with contextlib.suppress(IndexError):
            while True:
                line = self._idle.pop()
                if line.epoch is self._epoch and line.is_clean:
                    return line
                self.discard(line)
        return None

    def _reserve(self) -> Line | None:
        with self._freed:
            if len(self._living) >= self._settings.pool_size:
                return None
            line = Line(self._settings, self.address, self._epoch)
            self._living.add(line)
            return line

    def _connected(self, line: Line, deadline: float) -> Line:
        try:
            line.connect(deadline)
            self._check(line, deadline)
        except BaseException:
            self.discard(line)
            raise
        return line

    def _check(self, line: Line, deadline: float) -> None:
        if not self._is_checked:
            handshake.check_server(self._settings, line.inspect(handshake.FIRST, deadline))
            self._is_checked = True

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            count = self._settings.pool_size
            raise StoreTimeoutError("redis", "connect", f"all {count} connections stayed in use; raise pool_size")
        with self._freed:
            self._waiting += 1
            try:
                # Not for long, for an interrupted caller may not have told that a place is free.
                self._freed.wait(min(left, _LOOK_AGAIN_SECONDS))
            finally:
                self._waiting -= 1

    def give_back(self, line: Line) -> None:
        """Take a connection back for the next caller."""
        if line.epoch is not self._epoch:
            self.discard(line)
            return
        self._idle.append(line)
        self._tell()

    def discard(self, line: Line) -> None:
        """Close a connection, whose place is free then."""
        self._living.discard(line)
        line.close()
        self._tell()

    def _tell(self) -> None:
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def drop(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        self._epoch = object()
        self._is_checked = False
        with contextlib.suppress(IndexError):
            while True:
                self.discard(self._idle.pop())
