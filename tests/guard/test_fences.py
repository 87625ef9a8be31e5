"""Saving under a lock: what was read under it is not written any more once another has taken it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import InvalidArgumentError, MisuseError, SessionEndedError, SessionGuard
from sessionguard.core.commands import Command, Fence
from sessionguard.core.events import Event, LockLost
from sessionguard.errors import LockLostError
from tests.guard.clock import Clock
from tests.guard.watching import WatchedStore

LAPSE = timedelta(seconds=20)


def losses(heard: list[Event]) -> list[Event]:
    """Give what was told about lost locks."""
    return [event for event in heard if isinstance(event, LockLost)]


@pytest.fixture
def successor(store: WatchedStore, clock: Clock) -> Iterator[SessionGuard]:
    """A guard as in another process: its locks do not wait for those of `guard`."""
    guard = SessionGuard(store.inner, clock=clock, sweep_interval=None)
    yield guard
    guard.close()


def saving(guard: SessionGuard, session: Any, lock: Any) -> Any:
    """Save by `save`."""
    return guard.save(session, {"by": "stopped"}, lock=lock)


def modifying(guard: SessionGuard, session: Any, lock: Any) -> Any:
    """Save by `modify`."""
    return guard.modify(session, lambda data: {**data, "by": "stopped"}, lock=lock)


Change = Callable[[SessionGuard, Any, Any], Any]
either = pytest.mark.parametrize("change", [saving, modifying])


@either
def test_a_save_under_a_held_lock_is_done(guard: SessionGuard, heard: list[Event], change: Change) -> None:
    """Again and again, and the lock stays as it is."""
    mine = guard.create("ana")
    with guard.lock(mine, "a") as lock:
        assert change(guard, mine, lock).data == {"by": "stopped"}
        assert change(guard, mine, lock).data == {"by": "stopped"}
        lock.check()
    assert losses(heard) == []


@either
@pytest.mark.parametrize("is_over", [False, True], ids=["held by another", "given back by another"])
def test_a_save_under_a_lost_lock_is_refused(
    guard: SessionGuard, successor: SessionGuard, heard: list[Event], clock: Clock, change: Change, is_over: bool
) -> None:
    """It raises `LockLostError` with the fence that was lost, tells `LockLost`, and changes nothing."""
    mine = guard.create("ana")
    lock = guard.lock(mine, "a").__enter__()
    clock.advance(LAPSE)
    with successor.lock(mine, "a") as newer:
        saved = successor.save(mine, {"by": "successor"}, lock=newer)
        if not is_over:
            refused(guard, mine, lock, change)
    if is_over:
        refused(guard, mine, lock, change)
    with pytest.raises(LockLostError) as left:
        lock.__exit__(None, None, None)
    assert left.value.fence == lock.fence
    assert guard.get(mine.id) == saved
    # Once for the save, and once as the block was left.
    assert losses(heard) == [LockLost(mine.id, "a", lock.fence)] * 2


def refused(guard: SessionGuard, mine: Any, lock: Any, change: Change) -> None:
    """See one change refused for its fence."""
    with pytest.raises(LockLostError) as caught:
        change(guard, mine, lock)
    assert (caught.value.session_id, caught.value.name, caught.value.fence) == (mine.id, "a", lock.fence)


@either
def test_a_save_under_a_lapsed_lock_that_nobody_took_is_done(
    guard: SessionGuard, heard: list[Event], clock: Clock, change: Change
) -> None:
    """Nobody came between, so what was read is what is stored."""
    mine = guard.create("ana")
    with guard.lock(mine, "a") as lock:
        clock.advance(LAPSE)
        assert change(guard, mine, lock).data == {"by": "stopped"}
    assert losses(heard) == []


@either
def test_a_lock_of_another_session_is_refused(guard: SessionGuard, store: WatchedStore, change: Change) -> None:
    """It protects something else, so the call is wrong; the store is not asked."""
    mine, other = guard.create("ana"), guard.create("ana")
    with guard.lock(other, "a") as lock:
        store.forget()
        with pytest.raises(InvalidArgumentError) as caught:
            change(guard, mine, lock)
    assert caught.value.argument == "lock"
    assert "save" not in store.verbs()


@either
def test_a_lock_that_was_never_held_is_misuse(guard: SessionGuard, store: WatchedStore, change: Change) -> None:
    """It has no fence before its block; there is nothing to send."""
    mine = guard.create("ana")
    with pytest.raises(MisuseError, match="with block"):
        change(guard, mine, guard.lock(mine, "a"))
    assert "save" not in store.verbs()


@either
@pytest.mark.parametrize("lock", ["a", 1, object(), True])
def test_what_is_no_lock_is_refused(guard: SessionGuard, change: Change, lock: Any) -> None:
    """Its name or its fence are not enough."""
    mine = guard.create("ana")
    with pytest.raises(InvalidArgumentError) as caught:
        change(guard, mine, lock)
    assert caught.value.argument == "lock"


def test_a_lost_lock_is_no_conflict_to_be_tried_again(
    guard: SessionGuard, successor: SessionGuard, clock: Clock
) -> None:
    """`modify` under a lost lock calls its function once: what is newer now is not to be changed by this caller."""
    mine = guard.create("ana", data={"n": 0})
    calls: list[int] = []

    def count(data: Any) -> Any:
        if not calls:
            clock.advance(LAPSE)
            with successor.lock(mine, "a") as newer:
                successor.save(mine, {"n": 10}, lock=newer)
        calls.append(data["n"])
        return {"n": data["n"] + 1}

    with pytest.raises(LockLostError), guard.lock(mine, "a") as lock:
        guard.modify(mine, count, lock=lock)
    assert calls == [0]
    stored = guard.get(mine.id)
    assert stored is not None
    assert stored.data == {"n": 10}


def test_an_ended_session_is_ended_before_it_is_fenced(
    guard: SessionGuard, successor: SessionGuard, heard: list[Event], clock: Clock
) -> None:
    """Who lost the lock of a session that is over hears that it is over."""
    mine = guard.create("ana")
    lock = guard.lock(mine, "a").__enter__()
    clock.advance(LAPSE)
    with successor.lock(mine, "a"):
        successor.end(mine)
    with pytest.raises(SessionEndedError):
        guard.save(mine, {"n": 1}, lock=lock)
    assert losses(heard) == []
    with pytest.raises(LockLostError):
        lock.__exit__(None, None, None)


def test_the_fence_goes_with_the_command(guard: SessionGuard, store: WatchedStore) -> None:
    """Name and number of the lock, and none without a lock."""
    mine = guard.create("ana")
    with guard.lock(mine, "a") as lock:
        guard.save(mine, {"n": 1}, lock=lock)
        guard.save(mine, {"n": 2})
    saves: list[Command[Any]] = [command for command in store.asked if command.verb == "save"]
    assert [command.fence for command in saves] == [Fence("a", lock.fence), None]  # type: ignore[attr-defined]
