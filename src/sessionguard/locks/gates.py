"""Queues within one process, in front of the store's locks: threads hand over at once instead of polling."""

import threading
from collections.abc import Hashable


class Gates:
    """One gate per key, kept only while someone is at it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._gates: dict[Hashable, tuple[threading.Lock, int]] = {}

    def enter(self, key: Hashable, timeout_seconds: float) -> bool:
        """Wait for the gate of `key`; False if it stayed closed for the whole time."""
        with self._mutex:
            gate, count = self._gates.get(key, (threading.Lock(), 0))
            self._gates[key] = (gate, count + 1)
        if gate.acquire(timeout=timeout_seconds):
            return True
        self._forget(key)
        return False

    def leave(self, key: Hashable) -> None:
        """Open the gate of `key` for the next."""
        with self._mutex:
            gate, _ = self._gates[key]
        self._forget(key)
        gate.release()

    def _forget(self, key: Hashable) -> None:
        with self._mutex:
            gate, count = self._gates[key]
            if count == 1:
                del self._gates[key]
            else:
                self._gates[key] = (gate, count - 1)
