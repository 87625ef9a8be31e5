"""Storms in one process: what goes wrong in a client is told, also if others wait for it for ever."""

import threading
from typing import Any

import pytest

from sessionguard.testing import ModelStore
from sessionguard.testing.storms import clients, storm


class Waiting:
    """A store whose first caller fails, and on which all later ones wait for ever."""

    def __init__(self) -> None:
        self._store, self._mutex, self._has_failed = ModelStore(), threading.Lock(), False
        self.go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return found if name == "identify" else self._fail_or_wait

    def _fail_or_wait(self, command: object) -> None:
        with self._mutex:
            is_first, self._has_failed = not self._has_failed, True
        if is_first:
            raise ZeroDivisionError("the cause")
        self.go_on.wait()
        raise ZeroDivisionError("later")


def test_who_waits_for_ever_does_not_hide_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one client failed and the others wait for it, the error of the storm has the failure as its cause."""
    monkeypatch.setattr(clients, "_PATIENCE_SECONDS", 0.2)
    store = Waiting()
    try:
        with pytest.raises(TimeoutError, match=r"longer than 0\.2 s") as caught:
            storm(store, clients=2, operations=2)
    finally:
        store.go_on.set()
    assert str(caught.value.__cause__) == "the cause"
