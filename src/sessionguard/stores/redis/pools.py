"""Blocking connections to one server: a bounded number, lent to one caller at a time, never across a fork.

A signal handler may raise at any line here. A connection that is lost so on its way closes itself, and its place is
free again, because the pool counts those that are there and not those that it lent.
"""

import contextlib
import queue
import threading
import time
import weakref
from collections import deque

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.redis import handshake
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.contact import Contact
from sessionguard.stores.redis.lines import Line
from sessionguard.stores.redis.settings import Settings

_LOOK_AGAIN_SECONDS = 0.05


class Pool:
    """The connections to one server. What comes free goes to the caller who waits longest, before newcomers."""

    def __init__(self, settings: Settings, address: Address, notices: handshake.Notices) -> None:
        self.address = address
        self._settings = settings
        self._notices = notices
        self._contact = Contact(settings, address, notices)
        self._idle: list[Line] = []
        self._living: weakref.WeakSet[Line] = weakref.WeakSet()
        self._counting = threading.RLock()
        self._waiting: deque[queue.SimpleQueue[Line]] = deque()
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
        line = None if self._waiting else self._at_once()
        if line is None:
            line = self._awaited(deadline)
        try:
            while line.has_connected:
                if line.epoch is self._epoch and line.is_clean:
                    return line
                line = self._replaced(line)
            line.connect(deadline)
            self._check(line, deadline)
        except BaseException:
            self.discard(line)
            raise
        return line

    def _at_once(self) -> Line | None:
        """Give what is idle, or else a new one that is not connected, if there is room."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        with self._counting:
            return self._fresh() if len(self._living) < self._settings.pool_size else None

    def _fresh(self) -> Line:
        line = Line(self._contact, self._epoch)
        self._living.add(line)
        return line

    def _replaced(self, line: Line) -> Line:
        """Close a connection, and give another one in its place."""
        with contextlib.suppress(IndexError):
            other = self._idle.pop()
            self.discard(line)
            return other
        with self._counting:
            self._living.discard(line)
            other = self._fresh()
        line.close()
        return other

    def _check(self, line: Line, deadline: float) -> None:
        if not self._is_checked:
            replies = line.inspect(handshake.FIRST, deadline)
            handshake.check_server(self._settings, self.address, replies, self._notices)
            self._is_checked = True

    def _awaited(self, deadline: float) -> Line:
        turn: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._waiting.append(turn)
        try:
            while True:
                # Something may have come free before this caller stood in the queue, or been lost to an interruption.
                self._serve_waiting()
                left = deadline - time.monotonic()
                if left <= 0 and turn.empty():
                    count = self._settings.pool_size
                    raise StoreTimeoutError(
                        "redis", "connect", f"all {count} connections stayed in use; raise pool_size"
                    )
                with contextlib.suppress(queue.Empty):
                    return turn.get(timeout=max(0.0, min(left, _LOOK_AGAIN_SECONDS)))
                with self._counting:
                    if turn not in self._waiting and turn.empty():
                        # Whoever was about to serve it was interrupted.
                        self._waiting.appendleft(turn)
        finally:
            self._leave(turn)

    def _leave(self, turn: "queue.SimpleQueue[Line]") -> None:
        with self._counting:
            if turn in self._waiting:
                self._waiting.remove(turn)
        # Served as it gave up: it is the next one's.
        with contextlib.suppress(queue.Empty):
            self.give_back(turn.get_nowait())

    def _serve_waiting(self) -> None:
        while self._waiting:
            line = self._at_once()
            if line is None:
                return
            with self._counting:
                if self._waiting:
                    self._waiting.popleft().put(line)
                    continue
            self._put_down(line)

    def give_back(self, line: Line) -> None:
        """Take a connection back for the next caller."""
        if line.epoch is not self._epoch:
            self.discard(line)
            return
        self._put_down(line)
        if self._waiting:
            self._serve_waiting()

    def _put_down(self, line: Line) -> None:
        if line.has_connected:
            self._idle.append(line)
        else:
            self._living.discard(line)

    def discard(self, line: Line) -> None:
        """Close a connection, whose place is free then."""
        self._living.discard(line)
        line.close()
        if self._waiting:
            self._serve_waiting()

    def drop(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        self._epoch = object()
        self._is_checked = False
        with contextlib.suppress(IndexError):
            while True:
                self.discard(self._idle.pop())
