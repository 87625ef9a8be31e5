"""The memory store belongs to one process: it refuses several workers, and a fork is a loud error, not a copy."""

import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sessionguard import ConfigurationError, MisuseError, Session, SessionGuard, open_store
from sessionguard.core.commands import Identify
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import REMEMBERED_OPERATIONS
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.memory.workers import _warn_about_gunicorn
from sessionguard.testing import in_children
from sessionguard.testing.contracts.stage import REMEMBERED, TICK, Stage
from tests.guard.clock import Clock


def in_child(work: Callable[[], bool]) -> bool:
    """Tell what `work` gives in a forked process."""
    return in_children(1, lambda number: work()) == [True]


@pytest.mark.parametrize("workers", ["2", "16"])
def test_several_workers_are_refused(monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    """Each would see only some of the sessions; the message says what to use instead."""
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    with pytest.raises(ConfigurationError, match="sqlite"):
        MemoryStore()
    with pytest.raises(ConfigurationError, match="WEB_CONCURRENCY"):
        open_store("memory://")


@pytest.mark.parametrize("workers", ["", "1", "0", "auto"])
def test_one_worker_is_fine(monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    """And so is what says nothing about how many there are."""
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    assert isinstance(open_store("memory://"), MemoryStore)


@pytest.mark.parametrize("workers, is_refused", [(1, False), (2, True)])
def test_uwsgi_tells_how_many_workers_it_runs(monkeypatch: pytest.MonkeyPatch, workers: int, is_refused: bool) -> None:
    """Inside uWSGI its module is loaded; it need not set any variable."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(numproc=workers))
    if is_refused:
        with pytest.raises(ConfigurationError, match="uwsgi"):
            MemoryStore()
    else:
        MemoryStore()
    MemoryStore(allow_per_process=True)


def test_gunicorn_does_not_tell_which_is_warned_about_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless WEB_CONCURRENCY says that there is one worker, or the program that each may have its own sessions."""
    _warn_about_gunicorn.cache_clear()
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/23.0.0")
    MemoryStore(allow_per_process=True)
    with monkeypatch.context() as known:
        known.setenv("WEB_CONCURRENCY", "1")
        MemoryStore()
    assert caplog.messages == []
    MemoryStore()
    MemoryStore()
    (message,) = caplog.messages
    assert "gunicorn" in message
    assert "sqlite://" in message


@pytest.mark.parametrize("value", ["true", "True"])
def test_sessions_per_process_are_allowed_on_request(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """For those who know that each worker then has its own."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert isinstance(open_store(f"memory://?allow_per_process={value}"), MemoryStore)
    for wrong in ("memory://?allow_per_process=false", "memory://?allow_per_process=maybe", "memory://place"):
        with pytest.raises(ConfigurationError):
            open_store(wrong)


@pytest.mark.processes
def test_t02_fork_is_a_loud_error() -> None:
    """A forked child gets an error that says what to do, at every call, and the parent goes on undisturbed."""
    guard = SessionGuard(MemoryStore(), sweep_interval=None)
    token = guard.create("ada").token

    def refused() -> bool:
        calls: list[Callable[[], Any]] = [lambda: guard.load(token), lambda: guard.create("ada")]
        calls.append(lambda: guard._store.identify(Identify()))
        for call in calls:
            try:
                call()
            except MisuseError as error:
                if "fork" not in str(error) or "sqlite://" not in str(error):
                    return False
            else:
                return False
        return True

    assert in_child(refused)
    assert guard.load(token) is not None


@pytest.mark.processes
def test_t02_fork_with_permission_begins_empty() -> None:
    """The child has a store of its own: nothing of the parent's in it, another deployment, and it never hangs."""
    store = MemoryStore(allow_per_process=True)
    guard = SessionGuard(store, sweep_interval=None)
    session = guard.create("ada")
    deployment = store.identify(Identify())

    def empty() -> bool:
        mine = guard.create("ada")
        return (
            guard.load(session.token) is None
            and guard.get(session.id) is None
            and store.identify(Identify()) != deployment
            and guard.load(mine.token) is not None
        )

    with store._mutex:
        assert in_child(empty)
    assert guard.load(session.token) is not None


@pytest.mark.processes
def test_t02_threads_of_a_child_begin_with_one_store() -> None:
    """Whichever of them is first, none loses what another has put in."""

    def nothing_lost() -> bool:
        sys.setswitchinterval(1e-6)
        ready = threading.Barrier(8)
        made: list[Session] = []

        def create(number: int) -> None:
            ready.wait()
            made.append(guard.create(f"owner-{number}"))

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(made) == 8 and all(guard.load(session.token) is not None for session in made)

    for _ in range(60):
        guard = SessionGuard(MemoryStore(allow_per_process=True), sweep_interval=None)
        guard.create("ada")
        assert in_child(nothing_lost)


def test_closed_store_refuses_everything() -> None:
    """Closing twice is fine."""
    store = MemoryStore()
    store.close()
    store.close()
    with pytest.raises(MisuseError, match="closed"):
        store.identify(Identify())


def test_forgetting_a_session_does_not_look_at_all_locks() -> None:
    """A purge of many sessions takes no longer for the locks that others have."""
    clock = Clock()
    store = MemoryStore()
    guard = SessionGuard(store, clock=clock, sweep_interval=None)
    for number in range(4000):
        session = guard.create(f"owner-{number}")
        with guard.lock(session, "a"):
            pass
        if number % 2:
            guard.end(session)
    clock.advance(days=60)
    began = time.process_time()
    assert guard.purge().purged == 2000
    assert time.process_time() - began < 0.1
    assert len(store._locks) == 2000


def test_nothing_grows_with_sessions_that_come_and_go() -> None:
    """After a purge no table holds anything of what was forgotten, but the counter of generations."""
    clock = Clock()
    store = MemoryStore()
    guard = SessionGuard(store, clock=clock, sweep_interval=None)
    for number in range(200):
        session = guard.get_or_create(f"owner-{number}")
        with guard.lock(session, "a"):
            guard.rotate(session)
        guard.end(session)
    clock.advance(days=60)
    guard.sweep()
    assert guard.purge().purged == 200
    assert len(store._locks) == 0
    kept = {name: table for name, table in vars(store._shelf).items() if name != "_generation_floor"}
    assert kept
    assert not any(kept.values())


def test_threads_never_meet_half_a_change() -> None:
    """Whoever reads while others write sees whole sessions."""
    guard = SessionGuard(MemoryStore(), sweep_interval=None)
    session = guard.create("ada", data={"a": 0, "b": 0})
    wrong: list[object] = []
    stop = threading.Event()

    def write() -> None:
        for number in range(300):
            guard.save(session, {"a": number, "b": number})
        stop.set()

    def read() -> None:
        while not stop.is_set():
            found = guard.get(session.id)
            if found is None or found.data["a"] != found.data["b"]:
                wrong.append(found)

    threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_was_answered_is_forgotten_by_a_later_purge() -> None:
    """Answers are kept for those who ask again, not for ever; what found nothing leaves none, except `end_owner`."""
    store = MemoryStore()
    stage = Stage(store.identify(Identify()))
    store.sweep(stage.sweep())
    store.purge(stage.purge())
    assert len(store._answers) == 0
    store.end_owner(stage.end_owner("ana"))
    store.end_owner(stage.end_owner("ana", at=TICK))
    for at, kept in ((REMEMBERED - TICK, 2), (REMEMBERED, 1), (REMEMBERED + TICK, 0)):
        store.purge(stage.purge(at=at))
        assert len(store._answers) == kept


def test_operations_and_releases_are_bounded() -> None:
    """However often a session is saved and its lock changes hands, it keeps the last ones."""
    store = MemoryStore()
    stage = Stage(store.identify(Identify()))
    opened = store.create(stage.create()).record
    for number in range(2 * REMEMBERED_OPERATIONS):
        store.save(stage.save(opened, {"n": number}))
        store.acquire_lock(stage.acquire(opened, f"holder {number}"))
        store.release_lock(stage.release(opened, f"holder {number}"))
    assert len(store._shelf.rows[opened.id].operations) == REMEMBERED_OPERATIONS
    assert store.release_lock(stage.release(opened, "holder 0")).outcome is Outcome.CONFLICT
