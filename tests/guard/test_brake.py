"""The brake: where suddenly a large share of all sessions is due, a pass ends none of them and says so."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import ConfigurationError, Session, SessionGuard, SweepBrake, SweepReport
from sessionguard.core.events import Event, SessionExpired, SweepBraked
from sessionguard.errors import MisuseError
from tests.guard.clock import Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.test_cleaning import directories, with_file
from tests.guard.watching import WatchedStore

IDLE = POLICY.idle_timeout
BRAKE = SweepBrake(share=0.5, floor=4)


def opened(guard: SessionGuard, count: int) -> list[Session]:
    """Open so many sessions."""
    return [guard.create("ada") for _ in range(count)]


@pytest.fixture
def braked(open_guard: OpenGuard) -> SessionGuard:
    """A guard that lets half of all sessions expire at once, and three in any case."""
    return open_guard(brake=BRAKE)


def test_too_much_at_once_ends_nothing(braked: SessionGuard, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Every pass says so by its report and an event, and the log once, until a pass goes through."""
    heard: list[Event] = []
    braked.subscribe(heard.append)
    sessions = opened(braked, 6)
    clock.advance(IDLE / 2)
    opened(braked, 5)
    clock.advance(IDLE / 2)
    with caplog.at_level(logging.ERROR, logger="sessionguard.background"):
        for _ in range(3):
            assert braked.sweep() == SweepReport(braked=True)
    assert [type(event) for event in heard if not hasattr(event, "session_id")] == [SweepBraked] * 3
    (told,) = [record.getMessage() for record in caplog.records if record.name == "sessionguard.background"]
    assert "sessionguard sweep --dry-run --force" in told
    opened(braked, 1)
    caplog.clear()
    assert braked.sweep() == SweepReport(ended=6)
    assert {event.session_id for event in heard if isinstance(event, SessionExpired)} == {one.id for one in sessions}
    clock.advance(IDLE)
    opened(braked, 1)
    with caplog.at_level(logging.ERROR, logger="sessionguard.background"):
        assert braked.sweep().braked
    assert [record.name for record in caplog.records] == ["sessionguard.background"]


def test_event_tells_what_was_counted(braked: SessionGuard, clock: Clock) -> None:
    """How many are due beside how many are active, and the share that this is."""
    heard: list[Event] = []
    opened(braked, 4)
    clock.advance(IDLE)
    opened(braked, 3)
    braked.subscribe(heard.append)
    braked.sweep()
    assert heard == [SweepBraked(4, 7, 4 / 7)]


def test_force_goes_on(braked: SessionGuard, clock: Clock) -> None:
    """A person has looked."""
    opened(braked, 9)
    clock.advance(IDLE)
    assert braked.sweep(force=True) == SweepReport(ended=9)


def test_small_installations_are_not_stopped(open_guard: OpenGuard, clock: Clock) -> None:
    """By default 99 sessions may all expire at once, and a hundred may not."""
    guard = open_guard()
    opened(guard, 99)
    clock.advance(IDLE)
    assert guard.sweep() == SweepReport(ended=99)
    opened(guard, 100)
    clock.advance(IDLE)
    assert guard.sweep() == SweepReport(braked=True)
    assert open_guard(brake=None).sweep() == SweepReport(ended=100)


def test_braked_pass_removes_no_files(open_guard: OpenGuard, clock: Clock, work: Path) -> None:
    """Not those of sessions that had ended before either: what is wrong is not known yet."""
    guard = open_guard(brake=BRAKE, workspaces=work)
    session = with_file(guard, guard.create("ada"))
    open_guard().end(session)
    opened(guard, 4)
    clock.advance(IDLE)
    assert guard.sweep() == SweepReport(braked=True)
    assert directories(work) == {session.id}
    assert guard.sweep(force=True) == SweepReport(ended=4, workspaces_removed=1, bytes_freed=10)


def test_clock_that_jumps_ends_nobody(open_guard: OpenGuard, clock: Clock) -> None:
    """T57: ten years ahead and back again, all live on."""
    guard = open_guard()
    sessions = opened(guard, 150)
    right = clock.now
    clock.advance(days=3650)
    assert guard.sweep().braked
    clock.now = right
    assert all(guard.load(session.token) for session in sessions)
    assert guard.sweep() == SweepReport()


def test_dry_run_tells_what_would_be_done(open_guard: OpenGuard, clock: Clock, work: Path) -> None:
    """Counts of sessions, directories and bytes are those of the sweep that follows, and nothing was changed."""
    guard = open_guard(workspaces=work)
    sessions = [with_file(guard, guard.create("ada"), 100 + number) for number in range(3)]
    plain, held = guard.create("ada"), guard.create("ada")
    heard: list[Event] = []
    with guard.workspace(held):
        clock.advance(IDLE)
        guard.subscribe(heard.append)
        for _ in range(2):
            told = guard.sweep(dry_run=True)
            assert told == SweepReport(ended=5, skipped_in_use=1, workspaces_removed=3, bytes_freed=303)
        assert guard.sweep(2, dry_run=True).has_more
        assert heard == []
        assert directories(work) == {one.id for one in (*sessions, held)}
        clock.advance(-IDLE)
        assert guard.load(plain.token) is not None
        clock.advance(IDLE)
        assert guard.sweep() == told


def test_dry_run_tells_that_the_brake_holds(braked: SessionGuard, clock: Clock) -> None:
    """And with `force` what would come then."""
    opened(braked, 5)
    clock.advance(IDLE)
    assert braked.sweep(dry_run=True) == SweepReport(braked=True)
    assert braked.sweep(dry_run=True, force=True) == SweepReport(ended=5)


def test_store_that_cannot_count_has_no_brake(open_guard: OpenGuard, store: WatchedStore, clock: Clock) -> None:
    """It sweeps as ever, and a dry run says what is missing."""

    class Plain:
        """Lacks what a fleet asks for."""

        def __getattr__(self, name: str) -> Any:
            if name in ("census", "find_due", "take_turn", "give_turn"):
                raise AttributeError(name)
            return getattr(store, name)

    guard = SessionGuard(Plain(), policy=POLICY, clock=clock, sweep_interval=None, brake=BRAKE)
    opened(guard, 5)
    clock.advance(IDLE)
    with pytest.raises(MisuseError, match="dry_run"):
        guard.sweep(dry_run=True)
    assert guard.sweep(in_turn=True) == SweepReport(ended=5)
    guard.close()


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"share": 0}, "SweepBrake.share"),
        ({"share": 1}, "brake=None"),
        ({"share": 20}, "below one"),
        ({"share": "0.2"}, "SweepBrake.share"),
        ({"share": True}, "SweepBrake.share"),
        ({"floor": 0}, "SweepBrake.floor"),
        ({"floor": 2.5}, "SweepBrake.floor"),
    ],
)
def test_brake_is_checked(settings: dict[str, Any], told: str) -> None:
    """A percentage where a share is meant would never brake."""
    with pytest.raises(ConfigurationError, match=told):
        SweepBrake(**settings)


@pytest.mark.parametrize(
    "options, told",
    [({"brake": 0.2}, "brake"), ({"orphan_age": 3600}, "orphan_age"), ({"orphan_age": timedelta(-1)}, "orphan_age")],
)
def test_settings_of_the_clean_up_are_checked(open_guard: OpenGuard, options: dict[str, Any], told: str) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=told):
        open_guard(**options)
