"""What begins anew in a forked child: before its own code, and for what is still there."""

import gc
import weakref
from collections.abc import Callable

import pytest

from sessionguard.beating import Heart
from sessionguard.forking import after_fork
from sessionguard.locks.gates import Gates
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.offload import OffloadedStore
from sessionguard.testing import in_children


class Owner:
    """Has something to begin anew."""

    count = 0

    def begin(self) -> None:
        """Begin anew."""
        self.count += 1


def true_in_child(check: Callable[[], bool]) -> bool:
    """Tell whether `check` is true in a forked child."""
    return in_children(1, lambda number: check()) == [True]


@pytest.mark.processes
def test_reset_is_done_once_in_each_child_and_never_in_the_parent() -> None:
    """In the child of a child as well."""
    owner = Owner()
    after_fork(owner, Owner.begin)
    assert true_in_child(lambda: owner.count == 1 and true_in_child(lambda: owner.count == 2))
    assert owner.count == 0


@pytest.mark.processes
def test_owner_is_not_kept_alive() -> None:
    """What is gone needs no reset."""
    owner = Owner()
    after_fork(owner, Owner.begin)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    assert true_in_child(lambda: True)


@pytest.mark.processes
def test_nothing_of_the_parent_is_left_when_the_childs_code_begins() -> None:
    """Two threads of a fresh child that came here together would wipe what the other has begun."""
    gates, heart, offloaded = Gates(), Heart(linger_seconds=0.01), OffloadedStore(MemoryStore())
    assert gates.enter("a", 0)
    number = heart.add(lambda: None, 3600.0)
    writer = offloaded._writer
    with gates._mutex, heart._changed:
        assert true_in_child(
            lambda: (
                gates._gates == {}
                and heart._beats == {}
                and heart._thread is None
                and not gates._mutex.locked()
                and offloaded._writer is not writer
            )
        )
    heart.remove(number)
    heart.close()
    gates.leave("a")
