"""Gates: one thread at a time per key, in a queue that leaves nothing behind."""

import threading
from datetime import timedelta

import pytest

from sessionguard.locks.gates import Gates
from sessionguard.testing import ChildProcess

PATIENCE = 30.0


def test_one_at_a_time_per_key() -> None:
    """A closed gate stays closed until it is left; other keys are not concerned."""
    gates = Gates()
    assert gates.enter("a", 0)
    assert not gates.enter("a", 0)
    assert gates.enter("b", 0)
    gates.leave("a")
    assert gates.enter("a", 0)


def test_waiting_thread_is_let_in() -> None:
    """At once, without polling."""
    gates = Gates()
    assert gates.enter("a", 0)
    entered = threading.Event()

    def enter() -> None:
        assert gates.enter("a", PATIENCE)
        entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.is_set()
    gates.leave("a")
    assert entered.wait(PATIENCE)
    thread.join()
    gates.leave("a")


def test_nothing_is_kept_of_gates_that_nobody_is_at() -> None:
    """Session after session, memory stays flat, also when waiting was in vain."""
    gates = Gates()
    for number in range(1000):
        assert gates.enter(number, 0)
        assert not gates.enter(number, 0)
        gates.leave(number)
    assert gates._gates == {}


def test_longest_timeout_is_taken() -> None:
    """More than a lock of the interpreter can wait for is as long as it can."""
    gates = Gates()
    assert gates.enter("a", timedelta.max.total_seconds())
    gates.leave("a")


def test_many_threads_pass_one_by_one() -> None:
    """No two are ever inside."""
    gates, inside, most = Gates(), [], 0

    def pass_through(number: int) -> None:
        nonlocal most
        for _ in range(50):
            assert gates.enter("a", PATIENCE)
            inside.append(number)
            most = max(most, len(inside))
            inside.remove(number)
            gates.leave("a")

    threads = [threading.Thread(target=pass_through, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert gates._gates == {}


@pytest.mark.processes
def test_t69_forked_child_does_not_stand_at_its_parents_gates() -> None:
    """A gate that was closed at the fork, by a thread that the child does not have, is open there."""
    gates = Gates()
    assert gates.enter("a", 0)
    with gates._mutex:
        child = ChildProcess(lambda pipe: (gates.enter("a", 0), gates.enter("a", 0)), start="fork")
    with child:
        assert child.finish() == (True, False)
    assert not gates.enter("a", 0)
    gates.leave("a")
