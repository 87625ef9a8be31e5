"""A dry run tells what a pass would do, with all that earlier ones left, and changes nothing."""

from datetime import timedelta
from pathlib import Path

from sessionguard import SessionGuard, SweepReport
from sessionguard.core.events import Event
from tests.guard.clock import Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.test_cleaning import directories, made_at, with_file

IDLE = POLICY.idle_timeout


def test_leftovers_are_counted(filing_guard: SessionGuard, open_guard: OpenGuard, work: Path, clock: Clock) -> None:
    """Files of sessions that ended elsewhere, and of sessions that are forgotten once they are old enough."""
    elsewhere = open_guard(workspaces=None)
    old, young = (with_file(filing_guard, filing_guard.create("ada"), size) for size in (1, 2))
    for session in (old, young):
        elsewhere.end(session)
    filing_guard.purge(timedelta(0))
    made_at(work, old, clock.now - timedelta(days=1))
    made_at(work, young, clock.now)
    ended = with_file(filing_guard, filing_guard.create("ada"), 4)
    elsewhere.end(ended)
    due = with_file(filing_guard, filing_guard.create("ada"), 8)
    clock.advance(IDLE)
    living = with_file(filing_guard, filing_guard.create("ada"), 16)
    heard: list[Event] = []
    filing_guard.subscribe(heard.append)
    for _ in range(2):
        told = filing_guard.sweep(dry_run=True)
        assert told == SweepReport(ended=1, workspaces_removed=3, bytes_freed=13)
        assert heard == []
        assert directories(work) == {one.id for one in (old, young, ended, due, living)}
    assert filing_guard.sweep() == told
    assert directories(work) == {young.id, living.id}
    assert filing_guard.sweep(dry_run=True) == SweepReport()


def test_leftovers_in_use_are_told_as_such(filing_guard: SessionGuard, open_guard: OpenGuard) -> None:
    """They wait for their last lease, in a pass as in a dry run."""
    session = with_file(filing_guard, filing_guard.create("ada"))
    with filing_guard.workspace(session):
        open_guard(workspaces=None).end(session)
        told = filing_guard.sweep(dry_run=True)
        assert told == SweepReport(skipped_in_use=1)
        assert filing_guard.sweep() == told


def test_leftovers_are_looked_for_as_far_as_in_a_pass(
    filing_guard: SessionGuard, open_guard: OpenGuard, work: Path
) -> None:
    """No further than `limit`, and where the next pass begins."""
    elsewhere = open_guard(workspaces=None)
    for number in range(5):
        elsewhere.end(with_file(filing_guard, filing_guard.create("ada"), 2**number))
    for left in (3, 1, 0):
        told = filing_guard.sweep(2, dry_run=True)
        assert filing_guard.sweep(2) == told
        assert len(directories(work)) == left


def test_braked_dry_run_looks_for_nothing(open_guard: OpenGuard, clock: Clock, work: Path) -> None:
    """A pass would remove nothing."""
    guard = open_guard(workspaces=work)
    open_guard(workspaces=None).end(with_file(guard, guard.create("ada")))
    for _ in range(100):
        guard.create("ada")
    clock.advance(IDLE)
    assert guard.sweep(dry_run=True) == SweepReport(braked=True)
