"""A store that may forget, as in a failover: what it lost is told and its files are kept, and nobody else gets them.

The real failover is tested with Redis; here the store is put back to an earlier state, at a chosen moment.
"""

import copy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from sessionguard import SessionEndedError, SessionGuard
from sessionguard.core.events import Event, SessionLost
from sessionguard.stores.memory import MemoryStore
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore


class ForgetfulMemory(MemoryStore):
    """A memory store that can be put back to an earlier state."""

    may_forget = True

    def remembered(self) -> Callable[[], None]:
        """Give what puts the store back to how it is now."""
        state = copy.deepcopy(self._shelf)

        def go_back() -> None:
            self._shelf = copy.deepcopy(state)

        return go_back


@pytest.fixture
def store() -> WatchedStore:
    """The store of these tests, blocking and async."""
    return WatchedStore(ForgetfulMemory())


@pytest.fixture
def guard(open_guard: OpenGuard, work: Path) -> SessionGuard:
    """A guard with workspaces."""
    return open_guard(workspaces=work)


def lost(guard: SessionGuard) -> list[str]:
    """Give a list that grows with every session that is told lost."""
    told: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, SessionLost):
            told.append(event.session_id)

    guard.subscribe(hear)
    return told


def kept(work: Path) -> list[str]:
    """Give the sessions whose workspaces lie in quarantine."""
    return [path.name[:34] for path in work.glob("*/.quarantine/*")]


def test_t59_a_lost_session_is_noticed_by_its_generation(guard: SessionGuard, store: WatchedStore, work: Path) -> None:
    """The next to open the slot gets a session of its own; that the former one was lost is told, and its files stay."""
    told = lost(guard)
    guard.replace("ada")
    go_back = store.inner.remembered()
    session = guard.replace("ada")
    with guard.workspace(session) as files:
        files.write("plan", "the only copy")
    go_back()
    found = guard.get_or_create("ada")
    assert found.id != session.id
    assert (told, kept(work)) == ([session.id], [session.id])
    with guard.workspace(found) as files:
        assert files.list() == []
    guard.get_or_create("ada")
    assert told == [session.id], "it is told once"


def test_t59_files_of_an_unknown_session_are_quarantined_by_the_sweep(
    guard: SessionGuard, store: WatchedStore, work: Path
) -> None:
    """A workspace without a session is removed where the store forgets nothing, and kept apart where it may."""
    told = lost(guard)
    go_back = store.inner.remembered()
    session = guard.create("ada")
    with guard.workspace(session) as files:
        files.write("plan", "the only copy")
    go_back()
    guard.sweep()
    assert (told, kept(work)) == ([session.id], [session.id])


def test_t59_whoever_still_has_a_lost_session_learns_it(guard: SessionGuard, store: WatchedStore, work: Path) -> None:
    """Saving to it is refused; asking for its workspace puts the files apart, gives no new ones, and tells it once."""
    told = lost(guard)
    go_back = store.inner.remembered()
    session = guard.create("ada")
    with guard.workspace(session) as files:
        files.write("plan", "the only copy")
    go_back()
    with pytest.raises(SessionEndedError) as refused:
        guard.save(session, {"a": 1})
    assert refused.value.reason is None
    for _ in range(2):
        with pytest.raises(SessionEndedError), guard.workspace(session):
            pass
    assert (told, kept(work)) == ([session.id], [session.id])
    assert guard.load(session.token) is None


def test_a_lost_session_is_told_when_its_files_are_free(
    open_guard: OpenGuard, guard: SessionGuard, store: WatchedStore, work: Path
) -> None:
    """While somebody works on the files they stay, and nothing is told; the pass after that tells it once."""
    told = lost(guard)
    go_back = store.inner.remembered()
    session = guard.create("ada")
    with guard.workspace(session) as files:
        files.write("plan", "the only copy")
        go_back()
        guard.sweep()
        guard.sweep()
        assert (told, kept(work)) == ([], [])
    guard.sweep()
    guard.sweep()
    assert (told, kept(work)) == ([session.id], [session.id])


def test_a_session_that_was_ended_and_forgotten_is_not_lost(guard: SessionGuard, work: Path) -> None:
    """Its files were to go when their last lease ends, and that they do."""
    told = lost(guard)
    session = guard.create("ada")
    with guard.workspace(session) as files:
        files.write("plan", "secret")
        ended = guard.end(session)
        assert ended is not None
        assert ended.removed is not None
        assert ended.removed.deferred
        guard.purge(timedelta(0))
    guard.sweep()
    assert (told, kept(work)) == ([], [])
    assert not list(work.rglob("plan"))


def test_generations_that_grow_are_no_loss(guard: SessionGuard) -> None:
    """Opening, replacing, ending and opening again tells nothing."""
    told = lost(guard)
    for _ in range(3):
        guard.get_or_create("ada")
        guard.end(guard.replace("ada"))
        guard.create("ada")
    assert told == []
