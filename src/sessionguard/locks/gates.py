"""Queues within one process, in front of the store's locks: threads hand over at once instead of polling."""

import threading
from collections.abc import Hashable

from sessionguard.core.points import Mode, Part, point_of
from sessionguard.forking import after_fork


class Gates:
    """One gate per key, kept only while someone is at it."""

    def __init__(self) -> None:
        self._start_empty()
        # Whoever stands at a gate of the parent will never open it in the child; the store tells the processes apart.
        after_fork(self, Gates._start_empty)

    def _start_empty(self) -> None:
        self._mutex = threading.Lock()
        self._gates: dict[Hashable, tuple[threading.Lock, int]] = {}

    def enter(self, key: Hashable, timeout_seconds: float) -> bool:
        """Wait for the gate of `key`; False if it stayed closed for the whole time."""
        point_of(self._entering, key)
        with self._mutex:
            gate, count = self._gates.get(key, (threading.Lock(), 0))
            self._gates[key] = (gate, count + 1)
        entered = False
        try:
            entered = gate.acquire(timeout=min(timeout_seconds, threading.TIMEOUT_MAX))
        finally:
            if not entered:
                self._forget(key)
                point_of(self._leaving, key)
        return entered

    def leave(self, key: Hashable) -> None:
        """Open the gate of `key` for the next."""
        with self._mutex:
            gate, _ = self._gates[key]
        self._forget(key)
        gate.release()
        point_of(self._leaving, key)

    def _entering(self, key: Hashable) -> tuple[str, Part, Mode]:
        return "enter", self._place(key), "acq"

    def _leaving(self, key: Hashable) -> tuple[str, Part, Mode]:
        return "leave", self._place(key), "rel"

    def _place(self, key: Hashable) -> Part:
        # Another guard has other gates, and is kept apart from this one by the store alone.
        return Part("gates", f"{key} of {id(self):x}")

    def _forget(self, key: Hashable) -> None:
        with self._mutex:
            gate, count = self._gates[key]
            if count == 1:
                del self._gates[key]
            else:
                self._gates[key] = (gate, count - 1)
