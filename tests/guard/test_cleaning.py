"""`sweep` and `purge`: what expired is ended and its files go, what lives or is in use stays, history is forgotten."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import InvalidArgumentError, PurgeReport, Session, SessionGuard, SweepReport
from sessionguard.core.commands import Command
from sessionguard.core.events import CleanupFailed, Event
from sessionguard.core.file_commands import FindGarbage, RemoveWorkspace
from sessionguard.core.session import Removed
from sessionguard.errors import WorkspaceUnavailableError
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import ChildProcess
from tests.guard.clock import Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.watching import WatchedStore

IDLE = POLICY.idle_timeout


def with_file(guard: SessionGuard, session: Session, size: int = 10) -> Session:
    """Give `session` a workspace with one file."""
    with guard.workspace(session) as files:
        files.write("a.bin", b"x" * size)
    return session


def directories(work: Path) -> set[str]:
    """Give the ids of the sessions that have a directory."""
    return {path.parent.name for path in work.glob("*/*/*/files") if not path.parent.parent.name.startswith(".")}


def test_sweep_of_nothing_reports_nothing(guard: SessionGuard) -> None:
    """Living sessions are not looked at."""
    guard.create("ada")
    assert guard.sweep() == SweepReport()


def test_sweep_ends_what_expired_and_reports_it(filing_guard: SessionGuard, clock: Clock, work: Path) -> None:
    """Counts of sessions, directories and bytes are exact; the living keep everything."""
    old = [with_file(filing_guard, filing_guard.create("ada"), 100 + number) for number in range(3)]
    plain = filing_guard.get_or_create("ada")
    clock.advance(minutes=10)
    young = with_file(filing_guard, filing_guard.create("ada"))
    clock.advance(minutes=10)
    report = filing_guard.sweep()
    assert report == SweepReport(ended=4, workspaces_removed=3, bytes_freed=303)
    for session in (*old, plain):
        found = filing_guard.get(session.id)
        assert found is not None
        assert (found.reason, found.ended_at) == ("expired", session.expires_at)
    assert filing_guard.load(young.token) is not None
    assert directories(work) == {young.id}
    assert filing_guard.sweep() == SweepReport()


def test_sweep_stops_at_its_limit_and_says_that_there_is_more(guard: SessionGuard, clock: Clock) -> None:
    """The longest expired go first."""
    sessions = []
    for _ in range(5):
        sessions.append(guard.create("ada"))
        clock.advance(seconds=1)
    clock.advance(IDLE)
    assert guard.sweep(limit=2) == SweepReport(ended=2, has_more=True)
    assert {session.id for session in guard.sessions(status="ended")} == {session.id for session in sessions}
    assert guard.sweep(limit=3) == SweepReport(ended=3)


def test_sweep_works_in_small_batches(guard: SessionGuard, store: WatchedStore, clock: Clock) -> None:
    """No single question ends more than 200 sessions, however high the limit is."""
    for _ in range(250):
        guard.create("ada")
    clock.advance(IDLE)
    store.forget()
    assert guard.sweep(force=True) == SweepReport(ended=250)
    assert [command.limit for command in store.asked] == [200, 200]  # type: ignore[attr-defined]


def test_swept_session_frees_its_slot(guard: SessionGuard, clock: Clock) -> None:
    """The next caller opens the next generation."""
    guard.get_or_create("ada")
    clock.advance(IDLE)
    guard.sweep()
    assert guard.get_or_create("ada").generation == 2


def test_workspace_in_use_survives_the_sweep(filing_guard: SessionGuard, clock: Clock, work: Path) -> None:
    """The session ends; its files wait for the lease, and are gone as soon as that is."""
    session = filing_guard.create("ada")
    with filing_guard.workspace(session) as files:
        files.write("a.bin", b"x" * 10)
        clock.advance(IDLE)
        assert filing_guard.sweep() == SweepReport(ended=1, skipped_in_use=1)
        assert filing_guard.sweep() == SweepReport(skipped_in_use=1)
        assert files.read("a.bin") == b"x" * 10
    assert directories(work) == set()
    assert filing_guard.sweep() == SweepReport()


def test_end_of_a_session_in_use_defers_the_removal(filing_guard: SessionGuard, work: Path) -> None:
    """`removed` says so, and what it was when it was at once."""
    session = with_file(filing_guard, filing_guard.create("ada"))
    other = with_file(filing_guard, filing_guard.create("ada"))
    with filing_guard.workspace(session):
        ended = filing_guard.end(session)
        assert ended is not None
        assert ended.removed.deferred
        assert directories(work) == {session.id, other.id}
    assert directories(work) == {other.id}
    ended = filing_guard.end(other)
    assert ended is not None
    assert (ended.removed.files, ended.removed.bytes, ended.removed.deferred) == (1, 10, False)


def test_replaced_workspace_stays_until_its_lease_is_released(filing_guard: SessionGuard, work: Path) -> None:
    """The old session's files are readable to the end of the block, and are never the new session's."""
    old = filing_guard.get_or_create("ada")
    with filing_guard.workspace(old) as files:
        files.write("a.bin", b"old")
        new = filing_guard.replace("ada")
        assert files.read("a.bin") == b"old"
        with filing_guard.workspace(new) as fresh:
            assert fresh.list() == []
    assert directories(work) == {new.id}


def test_end_owner_and_replace_remove_files(filing_guard: SessionGuard, work: Path) -> None:
    """Whatever ends a session removes its workspace, and only its own."""
    kept = with_file(filing_guard, filing_guard.create("bob"))
    with_file(filing_guard, filing_guard.get_or_create("ada"))
    new = with_file(filing_guard, filing_guard.replace("ada"))
    assert directories(work) == {kept.id, new.id}
    assert filing_guard.end_owner("ada") == 1
    assert directories(work) == {kept.id}


def test_get_or_create_removes_the_files_of_the_expired(filing_guard: SessionGuard, clock: Clock, work: Path) -> None:
    """Nobody inherits them."""
    with_file(filing_guard, filing_guard.get_or_create("ada"))
    clock.advance(IDLE)
    new = filing_guard.get_or_create("ada")
    with filing_guard.workspace(new) as files:
        assert files.list() == []
    assert directories(work) == {new.id}


def test_failed_removal_is_told_and_done_by_the_next_sweep(
    filing_guard: SessionGuard, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session has ended all the same."""
    heard: list[Event] = []
    filing_guard.subscribe(heard.append)
    session = with_file(filing_guard, filing_guard.create("ada"))

    def fail(command: RemoveWorkspace, files: Any) -> Any:
        raise OSError(5, "the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(RemoveWorkspace, "apply", fail)
        ended = filing_guard.end(session)
    assert ended is not None
    assert ended.removed == Removed(deferred=True, failed=True)
    assert [event.session_id for event in heard if isinstance(event, CleanupFailed)] == [session.id]
    assert filing_guard.load(session.token) is None
    assert filing_guard.sweep() == SweepReport(workspaces_removed=1, bytes_freed=10)
    assert directories(work) == set()


def test_place_that_cannot_be_reached_is_asked_once_a_pass(
    filing_guard: SessionGuard,
    work: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who waits for it once for each session waits for hours; what failed is counted, told, and done later."""
    for owner in "abcde":
        with_file(filing_guard, filing_guard.create(owner))
    clock.advance(IDLE)
    asked: list[str] = []

    def fail(command: RemoveWorkspace, files: Any) -> Any:
        asked.append(command.session_id)
        raise WorkspaceUnavailableError(command.session_id, "delete", "nobody answers")

    with monkeypatch.context() as patch:
        patch.setattr(RemoveWorkspace, "apply", fail)
        assert filing_guard.sweep() == SweepReport(ended=5, failed=5)
        assert len(asked) == 1
        assert filing_guard.sweep().failed == 1
    assert len(asked) == 2
    (line,) = [record.getMessage() for record in caplog.records if record.name == "sessionguard.background"]
    assert line.startswith(
        "the files of 5 ended sessions could not be removed, the first for WorkspaceUnavailableError"
    )
    assert filing_guard.sweep() == SweepReport(workspaces_removed=5, bytes_freed=50)
    assert directories(work) == set()


def test_failed_search_for_garbage_loses_no_report(
    filing_guard: SessionGuard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was ended is reported; what failed is an event."""
    heard: list[Event] = []
    filing_guard.subscribe(heard.append)
    filing_guard.create("ada")
    clock.advance(IDLE)

    def fail(command: FindGarbage, files: Any) -> Any:
        raise PermissionError(13, "not ours")

    monkeypatch.setattr(FindGarbage, "apply", fail)
    assert filing_guard.sweep() == SweepReport(ended=1)
    assert [event.session_id for event in heard if isinstance(event, CleanupFailed)] == [None]


def test_orphaned_directory_is_found(filing_guard: SessionGuard, open_guard: OpenGuard, work: Path) -> None:
    """A directory whose session ended elsewhere is removed; those of the living stay."""
    living = with_file(filing_guard, filing_guard.create("ada"))
    session = with_file(filing_guard, filing_guard.create("ada"))
    open_guard(workspaces=None).end(session)
    assert directories(work) == {living.id, session.id}
    assert filing_guard.sweep() == SweepReport(workspaces_removed=1, bytes_freed=10)
    assert directories(work) == {living.id}


def made_at(work: Path, session: Session, instant: datetime) -> None:
    """Let all that the session has be as old as if it were made then."""
    (folder,) = work.glob(f"*/*/{session.id}")
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (instant.timestamp(), instant.timestamp()))


def test_directory_of_an_unknown_session_is_removed_once_it_is_old(
    filing_guard: SessionGuard, open_guard: OpenGuard, work: Path, clock: Clock
) -> None:
    """Not before its safety age is over, counted from the last change in it: the store may only be behind."""
    session = with_file(filing_guard, filing_guard.create("ada"))
    open_guard(workspaces=None).end(session)
    filing_guard.purge(timedelta(0))
    for instant in (clock.now - timedelta(minutes=59), clock.now, clock.now + timedelta(days=1)):
        made_at(work, session, instant)
        assert filing_guard.sweep() == SweepReport()
        assert directories(work) == {session.id}
    (private,) = work.glob("*/*/*/private")
    made_at(work, session, clock.now - timedelta(hours=1))
    os.utime(private, (clock.now.timestamp(), clock.now.timestamp()))
    assert filing_guard.sweep() == SweepReport()
    made_at(work, session, clock.now - timedelta(hours=1))
    assert filing_guard.sweep() == SweepReport(workspaces_removed=1, bytes_freed=10)
    assert directories(work) == set()


@pytest.mark.parametrize("age", [timedelta(0), timedelta(minutes=5), timedelta(days=2)])
def test_safety_age_is_the_setting(open_guard: OpenGuard, work: Path, clock: Clock, age: timedelta) -> None:
    """Shorter or longer than an hour; with none at all nothing is waited for."""
    guard = open_guard(workspaces=work, orphan_age=age)
    session = with_file(guard, guard.create("ada"))
    open_guard().end(session)
    guard.purge(timedelta(0))
    if age:
        made_at(work, session, clock.now - age + timedelta(seconds=1))
        assert guard.sweep(dry_run=True) == guard.sweep() == SweepReport()
    made_at(work, session, clock.now - age)
    assert guard.sweep() == SweepReport(workspaces_removed=1, bytes_freed=10)


def test_removal_that_was_asked_for_waits_for_no_age(
    filing_guard: SessionGuard, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that were in use when their session ended go with the next pass, also once the session is forgotten."""
    session = filing_guard.create("ada")
    # As if the process had been killed before it let go.
    monkeypatch.setattr("sessionguard.workspaces.local.cleanup.Cleanup.remove_if_pending", lambda *_: None)
    with filing_guard.workspace(session) as files:
        files.write("a.bin", b"x" * 10)
        filing_guard.end(session)
        filing_guard.purge(timedelta(0))
    assert directories(work) == {session.id}
    assert filing_guard.sweep() == SweepReport(workspaces_removed=1, bytes_freed=10)


def died(work: Callable[[], object]) -> int:
    """Run `work` in a forked process, and give the signal that killed it."""
    with ChildProcess(lambda pipe: work(), start="fork") as child:
        return -child.wait_for_end()


def kill_at(monkeypatch: pytest.MonkeyPatch, command: type[Command[Any]]) -> None:
    """Let the process die as `kill -9` would have it, at the moment it is to do `command`."""
    monkeypatch.setattr(command, "apply", lambda self, target: os.kill(os.getpid(), 9))


@pytest.mark.processes
def test_t14_killed_between_ending_and_removing(
    tmp_path: Path, work: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session has ended, its files are left: the next sweep removes them and nobody inherits them."""

    def opened() -> SessionGuard:
        path = tmp_path / "sessions.db"
        return SessionGuard(SQLiteStore(path), work, POLICY, clock=clock, sweep_interval=None)

    guard = opened()
    session = with_file(guard, guard.get_or_create("ada"))

    def end_and_die() -> None:
        kill_at(monkeypatch, RemoveWorkspace)
        opened().end(session)

    assert died(end_and_die) == 9
    assert guard.load(session.token) is None
    assert directories(work) == {session.id}
    new = guard.get_or_create("ada")
    with guard.workspace(new) as files:
        assert files.list() == []
    assert guard.sweep() == SweepReport(workspaces_removed=1, bytes_freed=10)
    assert directories(work) == {new.id}
    guard.close()


@pytest.mark.processes
def test_t14_killed_between_record_and_directory(tmp_path: Path, work: Path, clock: Clock) -> None:
    """A session without a directory is whole: its first use makes one."""

    def opened() -> SessionGuard:
        path = tmp_path / "sessions.db"
        return SessionGuard(SQLiteStore(path), work, POLICY, clock=clock, sweep_interval=None)

    def open_and_die() -> None:
        opened().get_or_create("ada")
        os.kill(os.getpid(), 9)

    assert died(open_and_die) == 9
    guard = opened()
    session = guard.get_or_create("ada")
    assert not session.is_new
    assert directories(work) == set()
    with_file(guard, session)
    assert guard.sweep() == SweepReport()
    assert directories(work) == {session.id}
    guard.close()


def test_purge_forgets_when_the_policy_says(guard: SessionGuard, clock: Clock) -> None:
    """History is kept for its time, counted from the end, and active sessions are never forgotten."""
    ended, active = guard.create("ada"), guard.create("ada")
    guard.end(ended)
    clock.advance(POLICY.history_retention - timedelta(microseconds=1))
    assert guard.purge() == PurgeReport()
    clock.advance(microseconds=1)
    assert guard.purge() == PurgeReport(purged=1)
    assert guard.get(ended.id) is None
    found = guard.get(active.id)
    assert found is not None
    assert found.reason == "expired"


def test_purge_older_than_overrides_the_policy(guard: SessionGuard, clock: Clock) -> None:
    """What ended long enough ago goes; zero is everything that has ended."""
    first = guard.create("ada")
    guard.end(first)
    clock.advance(hours=1)
    guard.end(guard.create("ada"))
    assert guard.purge(timedelta(minutes=30)) == PurgeReport(purged=1)
    assert guard.get(first.id) is None
    assert guard.purge(older_than=timedelta(0)) == PurgeReport(purged=1)
    assert list(guard.sessions(status=None)) == []


def test_purge_stops_at_its_limit(guard: SessionGuard) -> None:
    """And says that there is more."""
    for _ in range(5):
        guard.create("ada")
    guard.end_owner("ada")
    assert guard.purge(timedelta(0), limit=3) == PurgeReport(purged=3, has_more=True)
    assert guard.purge(timedelta(0), limit=3) == PurgeReport(purged=2)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "10", None, True])
def test_limits_are_counts(guard: SessionGuard, limit: Any) -> None:
    """Anything but a whole number above zero is refused."""
    for call in (guard.sweep, lambda limit: guard.purge(limit=limit)):
        with pytest.raises(InvalidArgumentError, match="limit"):
            call(limit)


@pytest.mark.parametrize("older_than", [timedelta(-1), 30, "30d"])
def test_older_than_is_a_duration(guard: SessionGuard, older_than: Any) -> None:
    """A number without a unit could mean seconds or days."""
    with pytest.raises(InvalidArgumentError, match="older_than"):
        guard.purge(older_than)


def test_sweep_of_another_guard_is_enough(open_guard: OpenGuard, clock: Clock, work: Path) -> None:
    """Workers share store and directories: whoever sweeps first does the work, the others find nothing left."""
    first, second = open_guard(workspaces=work), open_guard(workspaces=work)
    with_file(first, first.create("ada"))
    clock.advance(IDLE)
    assert second.sweep() == SweepReport(ended=1, workspaces_removed=1, bytes_freed=10)
    assert first.sweep() == SweepReport()
