"""One background thread that does small things again and again: keeps locks and leases alive while they are held."""

import logging
import threading
import time
from collections.abc import Callable

from attrs import define

from sessionguard.errors import MisuseError, SessionEndedError
from sessionguard.forking import after_fork

_log = logging.getLogger("sessionguard.background")


@define
class _Beat:
    action: Callable[[], object]
    period_seconds: float
    due: float


class Heart:
    """Runs each added action once per period until it is removed, gives False, or finds the session or guard over.

    One thread runs them all, the longest due first, so an action that waits makes the others late: all of them
    ask the same store, and while that keeps one waiting it would keep the others too. The thread starts with the
    first action and ends `linger_seconds` after the last. A forked child starts with none: what its parent keeps
    alive is the parent's.
    """

    def __init__(self, *, linger_seconds: float = 10.0) -> None:
        self._linger_seconds = linger_seconds
        self._is_closed = False
        self._next_number = 0
        self._start_empty()
        after_fork(self, Heart._start_empty)

    def _start_empty(self) -> None:
        # In a child, too: numbers go on, so that none means two actions.
        self._changed = threading.Condition()
        self._beats: dict[int, _Beat] = {}
        self._next_wake = float("inf")
        self._thread: threading.Thread | None = None

    def add(self, action: Callable[[], object], period_seconds: float) -> int:
        """Run `action` every `period_seconds` from one period on; gives the number by which to remove it."""
        with self._changed:
            self._next_number += 1
            if self._is_closed:
                return self._next_number
            beat = _Beat(action, period_seconds, time.monotonic() + period_seconds)
            self._beats[self._next_number] = beat
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="sessionguard-heart", daemon=True)
                # Known as running only once it is: whoever is interrupted before leaves a heart that can still start.
                thread.start()
                self._thread = thread
            elif beat.due < self._next_wake:
                self._changed.notify()
            return self._next_number

    def remove(self, number: int) -> None:
        """Never begin that action again; one that is running now finishes."""
        with self._changed:
            self._beats.pop(number, None)

    def close(self) -> None:
        """Begin no action any more, and wait for the end of one that is running now. Closing twice is fine."""
        with self._changed:
            self._is_closed = True
            self._beats.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (due := self._wait_for_next()) is not None:
            number, action = due
            try:
                if action() is False:
                    self.remove(number)
            except (SessionEndedError, MisuseError):
                # The session has ended or the guard was closed, and neither is ever undone.
                self.remove(number)
            except Exception:
                if number in self._beats:
                    _log.warning("keeping a lock or lease alive failed; the next beat tries again", exc_info=True)

    def _wait_for_next(self) -> tuple[int, Callable[[], object]] | None:
        """Give the action whose turn it is, one at a time: one that is removed meanwhile must not come up."""
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                number, beat = min(self._beats.items(), key=_due, default=(0, None))
                if beat is not None and beat.due <= now:
                    beat.due = now + beat.period_seconds
                    return number, beat.action
                self._next_wake = now + self._linger_seconds if beat is None else beat.due
                if not self._changed.wait(self._next_wake - now) and not self._beats:
                    break
            self._thread = None
            return None


def _due(numbered: tuple[int, _Beat]) -> float:
    return numbered[1].due
