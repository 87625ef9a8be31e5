"""One background thread that does small things again and again: keeps locks and leases alive while they are held."""

import logging
import os
import threading
import time
from collections.abc import Callable

from attrs import define

_log = logging.getLogger("sessionguard.background")


@define
class _Beat:
    action: Callable[[], object]
    period_seconds: float
    due: float


class Heart:
    """Runs each added action once per period until it is removed.

    The thread starts with the first action and ends `linger_seconds` after the last. A forked child starts with
    none: what its parent keeps alive is the parent's.
    """

    def __init__(self, *, linger_seconds: float = 10.0) -> None:
        self._linger_seconds = linger_seconds
        self._next_number = 0
        self._start_empty()

    def _start_empty(self) -> None:
        self._changed = threading.Condition()
        self._beats: dict[int, _Beat] = {}
        self._next_wake = float("inf")
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def add(self, action: Callable[[], object], period_seconds: float) -> int:
        """Run `action` every `period_seconds` from one period on; gives the number by which to remove it."""
        self._enter()
        with self._changed:
            self._next_number += 1
            beat = _Beat(action, period_seconds, time.monotonic() + period_seconds)
            self._beats[self._next_number] = beat
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sessionguard-heart", daemon=True)
                self._thread.start()
            elif beat.due < self._next_wake:
                self._changed.notify()
            return self._next_number

    def remove(self, number: int) -> None:
        """Never run that action again; one that is running now finishes."""
        self._enter()
        with self._changed:
            self._beats.pop(number, None)

    def _enter(self) -> None:
        if self._pid != os.getpid():
            # Neither the thread nor what it kept alive belongs to this process, and the condition may have been
            # held by a thread that does not exist here. Numbers go on, so that none means two actions.
            self._start_empty()

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = [beat for beat in self._beats.values() if beat.due <= now]
                if not due:
                    give_up = now + self._linger_seconds
                    self._next_wake = min((beat.due for beat in self._beats.values()), default=give_up)
                    if not self._changed.wait(self._next_wake - now) and not self._beats:
                        self._thread = None
                        return
                    continue
                for beat in due:
                    beat.due = now + beat.period_seconds
            for beat in due:
                try:
                    beat.action()
                except Exception:
                    _log.warning("keeping a lock or lease alive failed; the next beat tries again", exc_info=True)
