"""Storms in one process: what goes wrong in a client is told, also if others wait for it for ever."""

import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionguard.errors import MisuseError
from sessionguard.stores.opening import open_store
from sessionguard.testing import ModelStore, SessionModel
from sessionguard.testing.history import check
from sessionguard.testing.storms import clients, storm, storm_of_killed, storm_of_processes

HOUR = timedelta(hours=1)
LATEST = timedelta(hours=20)
"""Later than any instant at which a client with a right clock asks, counted from when it begins."""


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


def instants(history: Any, client: str = "") -> list[timedelta]:
    """Give when its commands were asked, by the clocks of those who asked, from the earliest of a right one on."""
    found = [
        operation.args["command"].at
        for operation in history.operations
        if operation.client.startswith(client) and getattr(operation.args["command"], "at", None) is not None
    ]
    begin = min(
        operation.args["command"].at
        for operation in storm(ModelStore(), clients=1, operations=40).operations
        if getattr(operation.args["command"], "at", None) is not None
    )
    return [at - begin for at in found]


def test_a_clock_that_jumps_is_judged_as_any_other() -> None:
    """Forward and back, at random moments; what a right store answers is legal, and the same seed does it again."""
    jumps = [5 * HOUR, -7 * HOUR]
    one, other = (storm(ModelStore(), clients=1, operations=60, jumps=jumps, seed=3) for _ in range(2))
    assert instants(one) == instants(other)
    assert len({at // HOUR for at in instants(one)}) > len(
        {at // HOUR for at in instants(storm(ModelStore(), clients=1, operations=60, seed=3))}
    )
    assert min(instants(one)) < timedelta()
    assert check(storm(ModelStore(), clients=3, operations=40, jumps=jumps), SessionModel).is_legal


def test_where_the_engine_has_the_clock_a_client_has_none() -> None:
    """An option that would do nothing is refused."""
    with pytest.raises(MisuseError, match="timed=False"):
        storm(ModelStore(), jumps=[HOUR], timed=False)


@pytest.mark.processes
def test_each_process_has_a_clock_of_its_own(tmp_path: Path) -> None:
    """One is hours ahead and one is behind, as hosts are; what they saw is legal."""
    store = partial(open_store, f"sqlite:///{tmp_path / 'sessions.db'}?journal=delete")
    history = storm_of_processes(store, processes=3, operations=30, offsets=[timedelta(), LATEST, -LATEST])
    assert min(instants(history, "process 1")) > max(instants(history, "process 0"))
    assert max(instants(history, "process 2")) < min(instants(history, "process 0"))
    assert check(history, SessionModel).is_legal


@pytest.mark.processes
def test_victims_are_killed_at_instants_of_their_own(tmp_path: Path) -> None:
    """Each makes more calls than it must, and not as many as the other; what is left is legal."""
    store = partial(open_store, f"sqlite:///{tmp_path / 'sessions.db'}?journal=delete")
    history = storm_of_killed(store, tmp_path, after=3, within_seconds=0.2, operations=20, jumps=[HOUR, -HOUR])
    calls = [sum(operation.instance == number for operation in history.operations) for number in range(2)]
    assert min(calls) > 3
    assert check(history, SessionModel).is_legal
