"""Workspaces in a bucket under a guard: who uses them, on any machine, is asked of the store."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sessionguard import SessionGuard
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.errors import LeaseLostError
from tests.guard.clock import Clock
from tests.workspaces.s3.conftest import Place


@pytest.fixture
def clock() -> Clock:
    """The time of the test."""
    return Clock()


@pytest.fixture
def guards(place: Place, clock: Clock, tmp_path: Path) -> Iterator[tuple[SessionGuard, SessionGuard]]:
    """Two machines with one store and one bucket."""
    url = f"sqlite:///{tmp_path}/sessions.db"
    with (
        SessionGuard.open(url, workspaces=place(), clock=clock, sweep_interval=None) as one,
        SessionGuard.open(url, workspaces=place(), clock=clock, sweep_interval=None) as two,
    ):
        yield one, two


def test_what_is_open_or_held_elsewhere_is_not_removed(guards: tuple[SessionGuard, SessionGuard]) -> None:
    """Ended by another machine, the files are read on until the last has let go, and are gone then."""
    one, two = guards
    session = one.create("ada")
    with one.hold(session):
        with one.workspace(session) as files:
            files.write("plan", "kept")
            ended = two.end(session)
            assert ended is not None
            assert ended.removed.deferred
            assert files.read("plan") == b"kept"
        assert two.sweep().skipped_in_use == 1
    swept = two.sweep()
    assert (swept.skipped_in_use, swept.workspaces_removed) == (0, 0)


def test_a_dead_holder_delays_removal_by_its_lease(guards: tuple[SessionGuard, SessionGuard], clock: Clock) -> None:
    """Nobody gives back what it held; the first pass after its lease removes the files."""
    one, two = guards
    session = one.create("ada")
    with one.workspace(session) as files:
        files.write("plan", "kept")
    one.hold(session).acquire()._is_released = True
    two.end(session)
    assert two.sweep().skipped_in_use == 1
    clock.advance(seconds=LEASE_SECONDS)
    assert two.sweep().workspaces_removed == 1


def test_t68_a_lapsed_holder_writes_nothing_more(guards: tuple[SessionGuard, SessionGuard], clock: Clock) -> None:
    """Who hold it together all write; who was stopped past its lease is refused once another has come."""
    one, two = guards
    session = one.create("ada")
    stopped = one.hold(session).acquire()
    with one.workspace(session, lock=stopped) as files:
        with two.hold(session) as other, two.workspace(session, lock=other) as others:
            others.write("b", "theirs")
            files.write("a", "mine")
        clock.advance(timedelta(seconds=LEASE_SECONDS))
        with two.hold(session) as newer, two.workspace(session, lock=newer) as others:
            others.write("a", "theirs")
            with pytest.raises(LeaseLostError):
                files.write("a", "late")
            assert others.read("a") == b"theirs"
        with pytest.raises(LeaseLostError):
            stopped.release()
    with two.workspace(session) as again:
        assert again.list() == ["a", "b"]
