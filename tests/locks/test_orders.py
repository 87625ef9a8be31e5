"""Locks of guards in every order: one holder at a time, and nobody waits unseen at the gate of the process."""

from datetime import timedelta
from typing import Any

import pytest

from sessionguard import SessionGuard
from sessionguard.locks.gates import Gates
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Patience, Scenario


def search(callers: int = 2) -> Outcome:
    """Two callers of one guard hold a lock, one after the other, in every order."""

    def scenario(s: Scenario) -> None:
        guard = SessionGuard(MemoryStore(allow_per_process=True), sweep_interval=None)
        session = guard.create("ana")
        inside: list[str] = []

        def hold(name: str) -> None:
            with (
                s.history.record(name, "hold") as op,
                guard.lock(session, "door", timeout=timedelta(seconds=30)) as lock,
            ):
                inside.append(name)
                lock.check()
                guard.save(session, {name: 1})
                op.ok(len(inside))
                inside.remove(name)

        def alone(history: History) -> None:
            assert {operation.result for operation in history.operations} == {1}
            guard.close()

        for number in range(callers):
            s.worker(f"w{number}", lambda name=f"w{number}": hold(name))
        s.check(alone)

    return Interleaver(budget=Budget(2_000, 20.0), patience=Patience(20.0, 20.0)).run(scenario)


def test_one_holds_a_lock_in_every_order() -> None:
    """All schedules at the points of the gate and the store are explored; waiting at the gate is seen."""
    outcome = search()
    assert outcome.exhausted, outcome.failure.render() if outcome.failure else outcome.describe()


def test_a_gate_that_opens_for_two_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: without the gate and with a store that gives the lock to all, both hold it at once."""

    def enter(self: Gates, key: Any, timeout_seconds: float) -> bool:
        return True

    monkeypatch.setattr(Gates, "enter", enter)
    monkeypatch.setattr(Gates, "leave", lambda self, key: None)
    acquire = MemoryStore.acquire_lock

    def for_all(self: MemoryStore, command: Any) -> Any:
        self._locks.forget(command.session_id)
        return acquire(self, command)

    monkeypatch.setattr(MemoryStore, "acquire_lock", for_all)
    outcome = search()
    assert outcome.failure is not None
    assert outcome.failure.schedules <= 50
    assert outcome.failure.minimal.preemptions > 0
    assert outcome.failure.verdict.judge in ("alone", "LockLostError")
