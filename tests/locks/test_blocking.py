"""The lock of threads: they hand over in turn, a heart renews it, a forked child does not free it."""

import threading
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sessionguard import LockTimeoutError, MisuseError, SessionGuard
from sessionguard.core.commands import RenewLock
from sessionguard.core.events import CallRepeated, Event
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.errors import LockLostError, StoreUnavailableError
from sessionguard.locks import blocking
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import ChildProcess, Profile, in_children
from tests.guard.clock import Clock

AT_ONCE = timedelta(0)
PATIENCE = 30.0


def test_threads_take_turns(sg_profile: Profile) -> None:
    """Read, change, write under the lock: no increment is lost."""
    guard = SessionGuard(MemoryStore(), sweep_interval=None)
    session = guard.create("ada", data={"n": 0})
    rounds = sg_profile.rounds

    def count() -> None:
        for _ in range(rounds):
            with guard.lock(session, "n", timeout=timedelta(seconds=PATIENCE)):
                current = guard.get(session.id)
                assert current is not None
                guard.save(session, {"n": current.data["n"] + 1})

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = guard.get(session.id)
    assert final is not None
    assert final.data["n"] == 8 * rounds


def test_heart_renews_a_held_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the block takes, nobody else gets in, unless the heart stood still for longer than the lease."""
    monkeypatch.setattr(blocking, "BEAT_SECONDS", 0.001)
    clock, store = Clock(), MemoryStore()
    guard = SessionGuard(store, clock=clock, sweep_interval=None)
    other = SessionGuard(store, clock=clock, sweep_interval=None)
    session = guard.create("ada")
    renewed = threading.Event()
    renew_lock = store.renew_lock

    def renewing(command: object) -> object:
        reply = renew_lock(command)  # type: ignore[arg-type]
        renewed.set()
        return reply

    monkeypatch.setattr(store, "renew_lock", renewing)
    with guard.lock(session, "a") as lock:
        for _ in range(4):
            clock.advance(seconds=LEASE_SECONDS / 2)
            for _ in range(2):
                renewed.clear()
                assert renewed.wait(PATIENCE)
            with pytest.raises(LockTimeoutError):
                other.lock(session, "a", timeout=AT_ONCE).__enter__()
        lock.check()


def test_holder_learns_of_the_loss_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next beat finds that the lock lapsed; `check` then raises inside the block."""
    monkeypatch.setattr(blocking, "BEAT_SECONDS", 0.001)
    clock = Clock()
    guard = SessionGuard(MemoryStore(), clock=clock, sweep_interval=None)
    lost = threading.Event()
    guard.subscribe(lambda event: lost.set() if type(event).__name__ == "LockLost" else None)
    lock = guard.lock(guard.create("ada"), "a")
    lock.__enter__()
    clock.advance(seconds=LEASE_SECONDS)
    assert lost.wait(PATIENCE)
    for _ in range(10_000):
        if lock._is_lost:
            break
        threading.Event().wait(0.001)
    with pytest.raises(LockLostError):
        lock.__exit__(None, None, None)
    with pytest.raises(LockLostError):
        lock.check()


@pytest.mark.processes
def test_t69_forked_child_that_leaves_the_block_frees_nothing(tmp_path: Path) -> None:
    """The lock is the parent's: a child forked inside the block ends it without giving the lock back."""
    guard = SessionGuard(SQLiteStore(tmp_path / "sessions.db"), sweep_interval=None)
    session = guard.create("ada")
    with guard.lock(session, "a") as lock:
        in_children(1, lambda number: lock.__exit__(None, None, None))
        other = SessionGuard(SQLiteStore(tmp_path / "sessions.db"), sweep_interval=None)
        with pytest.raises(LockTimeoutError):
            other.lock(session, "a", timeout=AT_ONCE).__enter__()
    with other.lock(session, "a", timeout=AT_ONCE):
        pass
    for each in (guard, other):
        each.close()
        each._store.close()


@pytest.mark.processes
def test_t69_forked_child_waits_for_its_parents_lock(tmp_path: Path) -> None:
    """In the child the store decides, not a queue copied from the parent."""
    guard = SessionGuard(SQLiteStore(tmp_path / "sessions.db"), sweep_interval=None)
    session = guard.create("ada")
    lock = guard.lock(session, "a")
    lock.__enter__()

    def wait_for_it(pipe: Connection) -> str:
        try:
            guard.lock(session, "a", timeout=AT_ONCE).__enter__()
        except LockTimeoutError:
            pipe.send("refused")
        with guard.lock(session, "a", timeout=timedelta(seconds=PATIENCE)):
            return "held"

    with ChildProcess(wait_for_it, start="fork") as child:
        assert child.hear() == "refused"
        lock.__exit__(None, None, None)
        assert child.finish() == "held"
    guard.close()
    guard._store.close()


def test_one_lock_entered_by_two_threads_is_held_once() -> None:
    """The second is told of its mistake, whether the first waits, as here, or holds; a timeout is no holding."""
    guard = SessionGuard(MemoryStore(), sweep_interval=None)
    session = guard.create("ada")
    lock = guard.lock(session, "a", timeout=timedelta(seconds=PATIENCE))
    again = guard.lock(session, "a", timeout=AT_ONCE)
    entered = threading.Event()

    def enter() -> None:
        lock.__enter__()
        entered.set()

    thread = threading.Thread(target=enter)
    with guard.lock(session, "a"):
        thread.start()
        while next(iter(guard._gates._gates.values()))[1] < 2:
            entered.wait(0.001)
        with pytest.raises(MisuseError, match="entered once"):
            lock.__enter__()
        with pytest.raises(LockTimeoutError):
            again.__enter__()
    assert entered.wait(PATIENCE)
    thread.join()
    lock.__exit__(None, None, None)
    with again:
        assert again.fence == lock.fence + 1


def test_a_beat_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread beats for all locks: one whose store does not answer must not use up the leases of the others."""
    monkeypatch.setattr(blocking, "BEAT_SECONDS", 0.001)
    store = MemoryStore()
    guard = SessionGuard(store, sweep_interval=None, patience=timedelta(seconds=PATIENCE))
    told: list[Event] = []
    guard.subscribe(told.append)
    dead, alive = guard.create("ada"), guard.create("bea")
    missed, renewed = threading.Event(), threading.Event()
    renew_lock = store.renew_lock

    def renewing(command: RenewLock) -> object:
        if command.session_id == dead.id:
            missed.set()
            raise StoreUnavailableError("memory", "renew_lock", "no answer", transient=True)
        reply = renew_lock(command)
        if missed.is_set():
            renewed.set()
        return reply

    monkeypatch.setattr(store, "renew_lock", renewing)
    with guard.lock(dead, "n"), guard.lock(alive, "n"):
        assert renewed.wait(PATIENCE / 3)
    assert not [event for event in told if isinstance(event, CallRepeated)]
    guard.close()
