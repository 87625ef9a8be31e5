"""The heart: one thread that keeps locks and leases alive, survives errors, ends when idle, and is not inherited."""

import logging
import threading
from multiprocessing.connection import Connection

import pytest

from sessionguard.beating import Heart
from sessionguard.errors import SessionEndedError
from sessionguard.testing import ChildProcess

PATIENCE = 30.0
SOON = 0.001
NEVER = 3600.0


def hearts() -> list[threading.Thread]:
    """Give the threads of all hearts."""
    return [thread for thread in threading.enumerate() if thread.name == "sessionguard-heart"]


@pytest.fixture
def heart() -> Heart:
    """A heart that does not linger."""
    return Heart(linger_seconds=0.01)


def test_action_is_run_again_and_again_until_removed(heart: Heart) -> None:
    """Once per period; after the removal never again."""
    thrice = threading.Semaphore(0)
    number = heart.add(thrice.release, SOON)
    for _ in range(3):
        assert thrice.acquire(timeout=PATIENCE)
    heart.remove(number)
    barrier = threading.Event()
    other = heart.add(barrier.set, SOON)
    assert barrier.wait(PATIENCE)
    while thrice.acquire(blocking=False):
        pass
    barrier.clear()
    assert barrier.wait(PATIENCE)
    assert not thrice.acquire(blocking=False)
    heart.remove(other)


def test_many_actions_share_one_thread(heart: Heart) -> None:
    """However many locks are held, there is one thread."""
    before = set(hearts())
    beaten = [threading.Event() for _ in range(20)]
    numbers = [heart.add(event.set, SOON) for event in beaten]
    assert all(event.wait(PATIENCE) for event in beaten)
    assert len(set(hearts()) - before) == 1
    for number in numbers:
        heart.remove(number)


def test_sooner_action_is_not_kept_waiting(heart: Heart) -> None:
    """One that is due before all others wakes the thread."""
    slow = heart.add(lambda: None, NEVER)
    event = threading.Event()
    fast = heart.add(event.set, SOON)
    assert event.wait(PATIENCE)
    heart.remove(slow)
    heart.remove(fast)


def test_failing_action_stops_nothing(heart: Heart, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged and tried again; the others beat on."""
    failures, event = threading.Semaphore(0), threading.Event()

    def fail() -> None:
        failures.release()
        raise RuntimeError("the store is down")

    with caplog.at_level(logging.WARNING, logger="sessionguard.background"):
        numbers = [heart.add(fail, SOON), heart.add(event.set, SOON)]
        for _ in range(2):
            assert failures.acquire(timeout=PATIENCE)
        event.clear()
        assert event.wait(PATIENCE)
        for number in numbers:
            heart.remove(number)
    assert "the store is down" in caplog.text


def test_thread_ends_when_nothing_is_left_and_starts_again(heart: Heart) -> None:
    """A process that holds nothing has no thread for it; the next holding gets one."""
    for _ in range(2):
        event = threading.Event()
        before = set(hearts())
        number = heart.add(event.set, SOON)
        (thread,) = set(hearts()) - before
        assert event.wait(PATIENCE)
        heart.remove(number)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_action_removed_while_another_runs_is_not_begun(heart: Heart) -> None:
    """Although both were due at the same time."""
    begun, finish, after = threading.Event(), threading.Event(), threading.Event()
    ran: list[int] = []

    def slowly() -> None:
        begun.set()
        finish.wait(PATIENCE)

    with heart._changed:
        slow = heart.add(slowly, -1.0)
        removed = heart.add(lambda: ran.append(1), -1.0)
    assert begun.wait(PATIENCE)
    heart.remove(slow)
    heart.remove(removed)
    last = heart.add(after.set, SOON)
    finish.set()
    assert after.wait(PATIENCE)
    assert ran == []
    heart.remove(last)


def test_longest_due_comes_first(heart: Heart) -> None:
    """An action that is always due starves no other."""
    event = threading.Event()
    numbers = [heart.add(lambda: None, 0.0), heart.add(event.set, SOON)]
    assert event.wait(PATIENCE)
    for number in numbers:
        heart.remove(number)


def test_action_of_an_ended_session_is_not_run_again(heart: Heart, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is it a failure."""
    times: list[int] = []

    def find_it_ended() -> None:
        times.append(1)
        raise SessionEndedError("0" * 34, "revoked")

    with caplog.at_level(logging.WARNING, logger="sessionguard.background"):
        with heart._changed:
            heart.add(find_it_ended, SOON)
            thread = heart._thread
        assert thread is not None
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert times == [1]
    assert caplog.records == []


def test_closed_heart_stands_still() -> None:
    """Its thread ends at once, after the action that is running; nothing is run any more."""
    heart = Heart()
    begun, finish = threading.Event(), threading.Event()

    def slowly() -> None:
        begun.set()
        finish.wait(PATIENCE)
        raise RuntimeError("closed meanwhile")

    heart.add(slowly, SOON)
    assert begun.wait(PATIENCE)
    thread = heart._thread
    assert thread is not None
    threading.Timer(0.01, finish.set).start()
    heart.close()
    assert not thread.is_alive()
    heart.close()
    heart.remove(heart.add(slowly, SOON))
    assert heart._thread is None


def test_action_can_close_its_own_heart() -> None:
    """It does not wait for itself."""
    heart = Heart()
    closed = threading.Event()

    def close() -> None:
        heart.close()
        closed.set()

    heart.add(close, SOON)
    assert closed.wait(PATIENCE)


def test_removing_what_is_not_there_is_fine(heart: Heart) -> None:
    """Twice is once."""
    number = heart.add(lambda: None, NEVER)
    heart.remove(number)
    heart.remove(number)
    heart.remove(12345)


@pytest.mark.processes
def test_forked_child_starts_anew(heart: Heart) -> None:
    """It neither waits for a lock of a thread that it does not have, nor runs or removes its parent's actions."""
    started, finish = threading.Event(), threading.Event()

    def slowly() -> None:
        started.set()
        finish.wait(PATIENCE)

    inherited = heart.add(slowly, SOON)
    assert started.wait(PATIENCE)

    def use(pipe: Connection) -> bool:
        event = threading.Event()
        own = heart.add(event.set, SOON)
        heart.remove(inherited)
        return own != inherited and event.wait(PATIENCE)

    with heart._changed:
        child = ChildProcess(use, start="fork")
    with child:
        assert child.finish() is True
    finish.set()
    heart.remove(inherited)


@pytest.mark.processes
def test_forked_child_can_leave_what_its_parent_entered(heart: Heart) -> None:
    """Removing an inherited action as the first thing does not hang, whatever the parent's thread was doing."""
    number = heart.add(lambda: None, NEVER)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with heart._changed:
            held.set()
            release.wait(PATIENCE)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE)
    with ChildProcess(lambda pipe: heart.remove(number), start="fork") as child:
        release.set()
        holder.join()
        child.finish(PATIENCE)
    heart.remove(number)
