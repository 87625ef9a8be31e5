"""Leases across processes and machines: what a holder that died or was stopped leaves, and what it may still do."""

from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sessionguard import SessionGuard
from sessionguard.core.leases import FindLease
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.errors import LeaseLostError
from sessionguard.testing.faults import ChildProcess
from tests.engines.conftest import SHARED, Engine, OpenGuard
from tests.engines.test_fences import Hands
from tests.locks.shared_place import SharedPlace, shared_place

LEASE = timedelta(seconds=LEASE_SECONDS)


def test_two_machines_hold_one_session(open_guard: OpenGuard) -> None:
    """Files that both use stay until the last has let go, whoever ends the session; then they go at once."""
    place: SharedPlace = shared_place()
    one, two = open_guard(workspaces=place), open_guard(workspaces=place)
    session = one.create("ada")
    with one.hold(session) as first:
        with two.workspace(session) as files:
            files.write("plan", b"kept")
            ended = two.end(session)
            assert ended is not None
            assert ended.removed.deferred
            first.check()
        assert two.sweep().skipped_in_use == 1
        assert list(place.kept) == [session.id]
    assert place.kept == {}


def test_a_load_that_does_not_extend(open_guard: OpenGuard) -> None:
    """However often it is asked for so, the session expires as if nobody had been there."""
    hands = Hands()
    guard = open_guard(clock=hands)
    session = guard.create("ada")
    hands.ahead = timedelta(minutes=10)
    loaded = guard.load(session.token, extend=False)
    assert loaded is not None
    assert loaded.expires_at == session.expires_at
    extended = guard.load(session.token)
    assert extended is not None
    assert extended.expires_at > session.expires_at


def _hold(pipe: Connection, url: str, session_id: str, work: str) -> str:
    with SessionGuard.open(url, workspaces=work, sweep_interval=None) as guard:
        session = guard.get(session_id)
        assert session is not None
        try:
            with guard.hold(session) as hold, guard.workspace(session, lock=hold) as files:
                files.write("plan", "first")
                pipe.send("holding")
                pipe.recv()
                try:
                    guard.save(session, {"n": "late"}, lock=hold)
                except LeaseLostError:
                    pipe.send("save refused")
                try:
                    files.write("plan", "late")
                except LeaseLostError:
                    pipe.send("file refused")
        except LeaseLostError:
            return "lost"
    return "held"


@pytest.mark.processes
@pytest.mark.parametrize("engine", SHARED, indirect=True)
def test_t68_a_stopped_holder_wakes_up_without_its_lease(engine: Engine, tmp_path: Path) -> None:
    """A process stopped by SIGSTOP past its lease changes nothing more, in record or files, once another has come."""
    hands = Hands()
    work = str(tmp_path / "work")
    with SessionGuard.open(engine.url, workspaces=work, clock=hands, sweep_interval=None) as guard:
        session = guard.create("ada", data={"n": 0})
        with ChildProcess(_hold, engine.url, session.id, work) as child:
            assert child.hear() == "holding"
            child.freeze()
            hands.ahead = LEASE
            with guard.hold(session) as hold, guard.workspace(session, lock=hold) as files:
                files.write("plan", "second")
                guard.save(session, {"n": 1}, lock=hold)
                child.thaw()
                child.tell()
                assert child.hear() == "save refused"
                assert child.hear() == "file refused"
                assert child.finish() == "lost"
                assert files.read("plan") == b"second"
        found = guard.get(session.id)
        assert found is not None
        assert dict(found.data) == {"n": 1}


@pytest.mark.processes
@pytest.mark.parametrize("engine", SHARED, indirect=True)
def test_a_killed_holder_ends_by_itself(engine: Engine, tmp_path: Path) -> None:
    """Killed while it holds, it keeps local files no longer at all, and its lease in the store until that lapses."""
    hands = Hands()
    work = str(tmp_path / "work")
    with SessionGuard.open(engine.url, workspaces=work, clock=hands, sweep_interval=None) as guard:
        session = guard.create("ada")
        with ChildProcess(_hold, engine.url, session.id, work) as child:
            assert child.hear() == "holding"
            ended = guard.end(session)
            assert ended is not None
            assert ended.removed.deferred
            child.kill()
        swept = guard.sweep()
        assert (swept.workspaces_removed, swept.skipped_in_use) == (1, 0)
        store = guard._store
        assert store.leased_until(FindLease(session.id, hands())) is not None  # type: ignore[attr-defined]
        hands.ahead = LEASE
        assert store.leased_until(FindLease(session.id, hands())) is None  # type: ignore[attr-defined]
