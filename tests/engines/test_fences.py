"""T68: a holder that was stopped past its lease changes nothing more, neither in the record nor in the workspace."""

from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sessionguard import LockTimeoutError, Session, SessionGuard
from sessionguard.core.events import Event, LockLost
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.errors import LockLostError
from sessionguard.testing.faults import ChildProcess
from tests.engines.conftest import SHARED, Engine, OpenGuard

LEASE = timedelta(seconds=LEASE_SECONDS)


class Hands:
    """A clock whose hands a test sets; it begins with the time of this machine, for leases were taken by that."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def test_t68_a_lapsed_holder_is_refused_in_record_and_workspace(open_guard: OpenGuard, tmp_path: Path) -> None:
    """When another has taken the lock over, the first one's save, modify and files are refused; its loss is told."""
    hands = Hands()
    work = tmp_path / "work"
    slow, quick = open_guard(workspaces=work, clock=hands), open_guard(workspaces=work, clock=hands)
    heard: list[Event] = []
    slow.subscribe(heard.append)
    session = slow.create("ada", data={"n": 0})
    with pytest.raises(LockLostError), slow.lock(session, "door") as lost:  # noqa: PT012 - and so is leaving the block
        slow.save(session, {"n": 1}, lock=lost)
        number = lost.fence
        with slow.workspace(session, lock=lost) as files:
            files.write("plan", "first")
            hands.ahead = LEASE
            with quick.lock(session, "door", timeout=timedelta(0)) as held:
                assert held.fence > lost.fence
                with pytest.raises(LockLostError):
                    slow.save(session, {"n": 2}, lock=lost)
                with pytest.raises(LockLostError):
                    slow.modify(session, lambda data: data.update(n=3), lock=lost)
                quick.save(session, {"n": 4}, lock=held)
                with quick.workspace(session, lock=held) as others:
                    with pytest.raises(LockLostError):
                        files.write("plan", "late")
                    others.write("plan", "second")
    with quick.workspace(session) as files:
        assert files.read("plan") == b"second"
    found = quick.get(session.id)
    assert found is not None
    assert dict(found.data) == {"n": 4}
    assert LockLost(session.id, "door", number) in heard


def test_a_lapsed_lock_that_nobody_took_still_fences_right(open_guard: OpenGuard) -> None:
    """Nobody else has been there, so nothing is lost by letting the late holder write."""
    hands = Hands()
    guard = open_guard(clock=hands)
    session = guard.create("ada")
    with guard.lock(session, "door") as lock:
        hands.ahead = 2 * LEASE
        assert guard.save(session, {"n": 1}, lock=lock).data["n"] == 1


def _hold(pipe: Connection, url: str, session_id: str, work: str) -> str:
    with SessionGuard.open(url, workspaces=work, sweep_interval=None) as guard:
        session = guard.get(session_id)
        assert session is not None
        try:
            with guard.lock(session, "door") as lock, guard.workspace(session, lock=lock) as files:
                files.write("plan", "first")
                pipe.send("holding")
                pipe.recv()
                try:
                    guard.save(session, {"n": "late"}, lock=lock)
                except LockLostError:
                    pipe.send("save refused")
                files.write("plan", "late")
        except LockLostError:
            return "refused"
    return "written"


@pytest.mark.processes
@pytest.mark.parametrize("engine", SHARED, indirect=True)
def test_t68_a_stopped_process_wakes_up_without_its_lock(engine: Engine, tmp_path: Path) -> None:
    """A process stopped by SIGSTOP past its lease finds, when it goes on, that it may change nothing any more."""
    hands = Hands()
    work = str(tmp_path / "work")
    with SessionGuard.open(engine.url, workspaces=work, clock=hands, sweep_interval=None) as guard:
        session = guard.create("ada", data={"n": 0})
        with ChildProcess(_hold, engine.url, session.id, work) as child:
            assert child.hear() == "holding"
            child.freeze()
            hands.ahead = LEASE
            with guard.lock(session, "door") as held, guard.workspace(session, lock=held) as files:
                files.write("plan", "second")
                guard.save(session, {"n": 1}, lock=held)
            child.thaw()
            child.tell()
            assert child.hear() == "save refused"
            assert child.finish() == "refused"
        with guard.workspace(session) as files:
            assert files.read("plan") == b"second"
        assert _data(guard, session) == {"n": 1}


def test_a_lock_is_one_for_all_connections(open_guard: OpenGuard) -> None:
    """T69: whoever asks through another connection waits, and is next when it is given back."""
    first, second = open_guard(), open_guard()
    session = first.create("ada")
    with first.lock(session, "door") as held:
        number = held.fence
        with pytest.raises(LockTimeoutError), second.lock(session, "door", timeout=timedelta(0)):
            pass
        held.check()
    with second.lock(session, "door", timeout=timedelta(0)) as next_one:
        assert next_one.fence > number


def _data(guard: SessionGuard, session: Session) -> dict[str, Any]:
    found = guard.get(session.id)
    assert found is not None
    return dict(found.data)
