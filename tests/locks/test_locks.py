"""Locks of a session, blocking and async, on memory and SQLite: one holder, growing fences, nothing left locked."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import InvalidArgumentError, LockTimeoutError, MisuseError, Session, SessionEndedError, SessionGuard
from sessionguard.core.commands import AcquireLock, Command, ReleaseLock
from sessionguard.core.events import Event, LockLost
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.errors import LockLostError, StoreUnavailableError
from tests.guard.clock import Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore

AT_ONCE = timedelta(0)
LEASE = timedelta(seconds=LEASE_SECONDS)


def test_fences_grow(guard: SessionGuard) -> None:
    """Each holder has a higher number than all before, for each name."""
    session = guard.create("ada")
    fences = []
    for _ in range(3):
        with guard.lock(session, "report") as lock:
            fences.append(lock.fence)
            lock.check()
    assert fences == sorted(set(fences))


def test_second_holder_waits_no_longer_than_told(open_guard: OpenGuard) -> None:
    """It gets a `LockTimeoutError`, and the first one holds on."""
    guard, other = open_guard(), open_guard()
    session = guard.create("ada")
    with guard.lock(session, "report") as lock:
        for contender in (guard, other):
            with pytest.raises(LockTimeoutError) as caught, contender.lock(session, "report", timeout=AT_ONCE):
                pass
            assert (caught.value.session_id, caught.value.name) == (session.id, "report")
        lock.check()


def test_waiting_adds_up_to_the_timeout(open_guard: OpenGuard) -> None:
    """The waits between the tries are as long together as was allowed, and not more than a few hundred."""
    guard, other = open_guard(), open_guard()
    session = guard.create("ada")
    with (
        guard.lock(session, "report"),
        pytest.raises(LockTimeoutError, match=r"0\.05"),
        other.lock(session, "report", timeout=timedelta(milliseconds=50)),
    ):
        pass


def test_names_and_sessions_are_apart(guard: SessionGuard) -> None:
    """A lock hinders nobody who asks for another."""
    first, second = guard.create("ada"), guard.create("ada")
    with (
        guard.lock(first, "a", timeout=AT_ONCE),
        guard.lock(first, "b", timeout=AT_ONCE),
        guard.lock(second, "a", timeout=AT_ONCE),
    ):
        pass


def test_leaving_frees_the_lock_also_on_errors(open_guard: OpenGuard) -> None:
    """The error comes out, and the next one gets in at once."""
    guard, other = open_guard(), open_guard()
    session = guard.create("ada")
    with pytest.raises(ZeroDivisionError), guard.lock(session, "a"):
        raise ZeroDivisionError
    with other.lock(session, "a", timeout=AT_ONCE), pytest.raises(LockTimeoutError):
        guard.lock(session, "a", timeout=AT_ONCE).__enter__()


def test_dead_holder_hinders_nobody_for_longer_than_its_lease(open_guard: OpenGuard, clock: Clock) -> None:
    """One that was stopped lapses; its successor has a higher fence, and it learns of it at `check` and on leaving."""
    guard, other = open_guard(), open_guard()
    heard: list[Event] = []
    guard.subscribe(heard.append)
    session = guard.create("ada")
    stopped = guard.lock(session, "a")
    stopped.__enter__()
    clock.advance(LEASE)
    with other.lock(session, "a", timeout=AT_ONCE) as successor:
        assert successor.fence > stopped.fence
    with pytest.raises(LockLostError) as caught:
        stopped.__exit__(None, None, None)
    assert caught.value.fence == stopped.fence
    assert heard[-1] == LockLost(session.id, "a", stopped.fence)
    with pytest.raises(LockLostError):
        stopped.check()


def test_lapsed_holder_does_not_free_the_lock_of_its_successor(open_guard: OpenGuard, clock: Clock) -> None:
    """Release only what is still one's own."""
    guard, other = open_guard(), open_guard()
    session = guard.create("ada")
    stopped, successor = guard.lock(session, "a"), other.lock(session, "a", timeout=AT_ONCE)
    entered = stopped.__enter__()
    assert entered.fence
    clock.advance(LEASE)
    successor.__enter__()
    with pytest.raises(LockLostError):
        stopped.__exit__(None, None, None)
    with pytest.raises(LockTimeoutError):
        open_guard().lock(session, "a", timeout=AT_ONCE).__enter__()
    successor.__exit__(None, None, None)


def test_error_in_the_block_is_not_hidden_by_the_loss_of_the_lock(open_guard: OpenGuard, clock: Clock) -> None:
    """What went wrong first is what is raised."""
    guard, other = open_guard(), open_guard()
    session = guard.create("ada")

    def work() -> None:
        with guard.lock(session, "a"):
            clock.advance(LEASE)
            other.lock(session, "a", timeout=AT_ONCE).__enter__()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


def test_lock_is_entered_once(guard: SessionGuard) -> None:
    """Each holding is asked for; the fence exists inside the block only."""
    session = guard.create("ada")
    lock = guard.lock(session, "a")
    with pytest.raises(MisuseError, match="not held"):
        _ = lock.fence
    with lock:
        pass
    with pytest.raises(MisuseError, match="entered once"):
        lock.__enter__()
    with guard.lock(session, "a", timeout=AT_ONCE):
        pass


def test_ended_session_has_no_locks(guard: SessionGuard, clock: Clock) -> None:
    """Ended or expired, it says so at once."""
    ended, expired = guard.create("ada"), guard.create("ada")
    guard.end(ended)
    clock.advance(hours=1)
    for session in (ended, expired):
        with pytest.raises(SessionEndedError):
            guard.lock(session, "a").__enter__()


def test_who_knew_a_visitor_locks_nothing_after_its_login(guard: SessionGuard) -> None:
    """Who logs in under the lock goes on and gives it back; for whoever knew the session before, it is over."""
    visitor = guard.create()
    with guard.lock(visitor, "a") as lock:
        member = guard.rotate(visitor, owner="ada")
        guard.save(member, {"n": 1}, lock=lock)
    for name in "ab":
        with pytest.raises(SessionEndedError) as caught:
            guard.lock(visitor, name).__enter__()
        assert caught.value.reason == "login"
    with guard.lock(member, "a", timeout=AT_ONCE):
        pass


def test_a_lock_that_was_asked_for_before_a_login_keeps_nobody_waiting(
    guard: SessionGuard, store: WatchedStore, clock: Clock
) -> None:
    """The reply was lost, and when it is asked again the session is its owner's."""
    visitor = guard.create()
    member: list[Session] = []

    def around(command: Command[Any], ask: Callable[[], Any]) -> Any:
        reply = ask()
        if isinstance(command, AcquireLock) and not member:
            assert reply.outcome is Outcome.DONE
            with SessionGuard(store.inner, clock=clock, sweep_interval=None) as other:
                member.append(other.rotate(visitor, owner="ada"))
            raise StoreUnavailableError("memory", "acquire_lock", "the reply was lost", transient=True)
        return reply

    store.around = around
    with pytest.raises(SessionEndedError, match="login"):
        guard.lock(visitor, "a").__enter__()
    with guard.lock(member[0], "a", timeout=AT_ONCE):
        pass


@pytest.mark.parametrize("timeout", [timedelta(seconds=-1), 5, None, "1s"])
def test_timeout_is_a_duration(guard: SessionGuard, timeout: Any) -> None:
    """Zero is allowed: try once."""
    with pytest.raises(InvalidArgumentError, match="timeout"):
        guard.lock(guard.create("ada"), "a", timeout=timeout)


def test_lock_may_be_waited_for_as_long_as_it_takes(guard: SessionGuard) -> None:
    """`timedelta.max` is a timeout too."""
    with guard.lock(guard.create("ada"), "a", timeout=timedelta.max):
        pass


def test_t70_interrupted_acquisition_leaves_nothing_locked(open_guard: OpenGuard, store: WatchedStore) -> None:
    """The lock was taken but the reply never came: it is given back before the interruption goes on."""
    guard, other = open_guard(), open_guard()
    session = guard.create("ada")

    def lose_the_reply(command: Any, ask: Any) -> Any:
        reply = ask()
        if command.verb == "acquire_lock":
            raise ConnectionResetError("the reply was lost")
        return reply

    store.around = lose_the_reply
    with pytest.raises(ConnectionResetError):
        guard.lock(session, "a").__enter__()
    store.around = None
    with other.lock(session, "a", timeout=AT_ONCE):
        pass
    with guard.lock(session, "a", timeout=AT_ONCE):
        pass


def test_a_late_release_of_a_failed_try_ends_no_later_holding(guard: SessionGuard, store: WatchedStore) -> None:
    """Entering fails and its giving up is late on the way; when it arrives, the lock was taken by the next try."""
    session = guard.create("ada")
    late: list[ReleaseLock] = []

    def around(command: Command[Any], ask: Callable[[], Any]) -> Any:
        if isinstance(command, AcquireLock) and not late:
            ask()
            raise StoreUnavailableError("memory", "acquire_lock", "no answer")
        if isinstance(command, ReleaseLock) and not late:
            late.append(command)
            raise StoreUnavailableError("memory", "release_lock", "no answer")
        return ask()

    store.around = around
    lock = guard.lock(session, "report", timeout=LEASE)
    with pytest.raises(StoreUnavailableError), lock:
        pass
    store.around = None
    store.inner.release_lock(late[0])
    with lock:
        store.inner.release_lock(late[0])
        with pytest.raises(LockTimeoutError), guard.lock(session, "report", timeout=AT_ONCE):
            pass
        with pytest.raises(LockTimeoutError), guard.lock(session, "report", timeout=AT_ONCE):
            pass
        lock.check()
