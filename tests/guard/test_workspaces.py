"""`workspace(session)`: lent while the session lives, kept alive while lent, gone with the session."""

from datetime import timedelta
from pathlib import Path

import pytest

from sessionguard import ConfigurationError, SessionEndedError, SessionGuard, SessionPolicy
from sessionguard.core.commands import End
from sessionguard.errors import QuotaExceededError
from tests.guard.clock import START, Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.watching import WatchedStore, before


def directories(work: Path) -> list[str]:
    """Give the ids of the sessions that have a directory, and of those waiting for removal."""
    return [path.name for path in (*work.glob("*/??/*"), *work.glob("*/.pending/*"))]


def test_workspace_is_private_to_the_session(filing_guard: SessionGuard, work: Path) -> None:
    """Each has a directory of its own, made at first use, readable by nobody else."""
    first, second = filing_guard.create("ada"), filing_guard.create("ada")
    assert directories(work) == []
    with filing_guard.workspace(first) as files:
        files.write("a.txt", b"mine")
        with filing_guard.workspace(second) as others:
            assert others.list() == []
            assert others.path != files.path
        assert first.id in str(files.path)
        assert files.path.stat().st_mode & 0o777 == 0o700
    assert sorted(directories(work)) == sorted([first.id, second.id])


def test_files_stay_from_block_to_block(filing_guard: SessionGuard) -> None:
    """Until the session ends."""
    session = filing_guard.create("ada")
    with filing_guard.workspace(session) as files:
        files.write("a.txt", b"kept")
    with filing_guard.workspace(session) as files:
        assert files.read("a.txt") == b"kept"


@pytest.mark.parametrize("how", ["ended", "expired", "forgotten"])
def test_workspace_of_an_ended_session_raises_and_leaves_nothing(
    filing_guard: SessionGuard, clock: Clock, work: Path, how: str
) -> None:
    """No directory is made, or left, for a session that is over."""
    session = filing_guard.create("ada")
    if how == "expired":
        clock.advance(POLICY.idle_timeout)
    else:
        filing_guard.end(session)
    if how == "forgotten":
        filing_guard.purge(timedelta(0))
    with pytest.raises(SessionEndedError), filing_guard.workspace(session):
        pass
    if how == "expired":
        # By this clock; it is over when a sweep has ended it.
        filing_guard.sweep()
    assert directories(work) == []


@pytest.mark.parametrize("sweeps", [False, True])
def test_a_clock_that_was_ahead_removes_no_files(
    filing_guard: SessionGuard, clock: Clock, work: Path, sweeps: bool
) -> None:
    """What has expired by one clock but was ended by nobody keeps its files: another clock may find it alive."""
    sessions = [filing_guard.create("ada") for _ in "abc"]
    for session in sessions:
        with filing_guard.workspace(session) as files:
            files.write("a.txt", b"kept")
    clock.advance(POLICY.idle_timeout)
    if sweeps:
        filing_guard.sweep(limit=1)
    else:
        for session in sessions:
            with pytest.raises(SessionEndedError), filing_guard.workspace(session):
                pass
    clock.advance(-POLICY.idle_timeout)
    living = [session for session in sessions if filing_guard.get(session.id).status == "active"]  # type: ignore[union-attr]
    assert len(living) == (2 if sweeps else 3)
    for session in living:
        with filing_guard.workspace(session) as files:
            assert files.read("a.txt") == b"kept"


def test_session_that_ends_while_its_workspace_is_taken(
    filing_guard: SessionGuard, store: WatchedStore, work: Path
) -> None:
    """Ended between taking the lease and asking: it raises, and the directory just made is gone again."""
    session = filing_guard.create("ada")
    before(store, "touch", iter([lambda: store.inner.end(End(session.id, START, "0" * 16, "revoked"))]))
    with pytest.raises(SessionEndedError), filing_guard.workspace(session):
        pass
    assert directories(work) == []


def test_workspace_waiting_for_removal_is_not_lent(filing_guard: SessionGuard, work: Path) -> None:
    """The session has ended while in use: whoever comes now is told so, and the last one out removes all."""
    session = filing_guard.create("ada")
    with filing_guard.workspace(session) as files:
        files.write("a.txt", b"text")
        filing_guard.end(session)
        with pytest.raises(SessionEndedError), filing_guard.workspace(session):
            pass
        assert files.read("a.txt") == b"text"
    assert directories(work) == []


def test_taking_a_workspace_extends_the_session(filing_guard: SessionGuard, clock: Clock) -> None:
    """Whoever works with the files is there."""
    session = filing_guard.create("ada")
    clock.advance(minutes=10)
    with filing_guard.workspace(session):
        found = filing_guard.get(session.id)
        assert found is not None
        assert found.last_seen_at == START + timedelta(minutes=10)


def test_error_in_the_block_comes_out_and_the_lease_ends(filing_guard: SessionGuard, work: Path) -> None:
    """What the block raises is not hidden, and nothing stays leased."""
    session = filing_guard.create("ada")
    with pytest.raises(ZeroDivisionError), filing_guard.workspace(session):
        raise ZeroDivisionError
    ended = filing_guard.end(session)
    assert ended is not None
    assert not ended.removed.deferred
    assert directories(work) == []


def test_quota_is_that_of_the_scope(open_guard: OpenGuard, work: Path) -> None:
    """Each scope has its own."""
    small = SessionPolicy(workspace_bytes=10)
    guard = open_guard(workspaces=work, policy={"small": small, "*": POLICY})
    with guard.workspace(guard.create("ada")) as files:
        files.write("a", b"x" * 11)
    with guard.workspace(guard.create("ada", scope="small")) as files, pytest.raises(QuotaExceededError):
        files.write("a", b"x" * 11)


def test_quota_of_an_owner_holds_across_scopes_and_follows_a_login(open_guard: OpenGuard, work: Path) -> None:
    """What scopes without such a limit hold counts in those that have one; what was anonymous is his who logs in."""
    guard = open_guard(workspaces=work, policy={"small": SessionPolicy(owner_bytes=100), "*": POLICY})
    with guard.workspace(guard.create("zoe")) as files:
        files.write("a", b"x" * 60)
    with guard.workspace(guard.create("bea", scope="small")) as files:
        files.write("a", b"x" * 100)
    anonymous = guard.create(scope="small")
    with guard.workspace(anonymous) as files:
        files.write("a", b"x" * 41)
    zoe = guard.rotate(anonymous, owner="zoe")
    with guard.workspace(zoe) as files:
        files.write("b", b"")
        with pytest.raises(QuotaExceededError) as caught:
            files.write("b", b"x")
        assert (caught.value.whose, caught.value.limit, caught.value.used) == ("owner", 100, 102)
    # Letters that are no hexadecimal digits, which ids and hashes are made of.
    assert not [path for path in work.rglob("*") if "zoe" in path.name]


def test_without_workspaces_it_is_a_setting_that_is_missing(guard: SessionGuard) -> None:
    """The message names it."""
    with pytest.raises(ConfigurationError, match="workspaces"), guard.workspace(guard.create("ada")):
        pass


def test_t29_workspace_path_holds_the_handle_and_not_the_token(filing_guard: SessionGuard) -> None:
    """Paths end up in logs."""
    session = filing_guard.create("ada")
    with filing_guard.workspace(session) as files:
        assert str(session.token)[-43:] not in str(files.path)
