"""What the processes do that are killed, stopped, or shown a jumping clock while they hold a session."""

from datetime import timedelta
from typing import Any

from sessionguard.core.leases import FindLease
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.core.points import point
from sessionguard.errors import SessionEndedError
from sessionguard.testing.sweeps import Run
from tests.testing.sweeps.killed_guards import guarded, later

LEASE = timedelta(seconds=LEASE_SECONDS)


def work_in_a_hold(run: Run, url: str) -> int:
    """Save and write in a hold that beats meanwhile, and give its fence. Whoever lost it is told."""
    with guarded(run, url) as guard:
        session = guard.get_or_create(run.name)
        hold = guard.hold(session)
        with hold:
            began = run.clock()
            point("held", "work", "w")
            with guard.workspace(session, lock=hold) as files:
                guard.save(session, {"fence": hold.fence}, lock=hold)
                hold._renew()
                point("between", "work", "w")
                files.write("fence", str(hold.fence))
            fence, ended = hold.fence, run.clock()
        assert ended - began < LEASE, "it was not told that its lease had lapsed in its block"
        assert guard._heart._beats == {}
        return fence


def work_later(run: Run, url: str) -> int:
    """Do the same, where anybody gets on."""
    return later(run, url, work_in_a_hold)


def last_wins_and_nobody_holds(run: Run, url: str) -> None:
    """T68: row and files are those of the highest fence; no lease is left, and what ends is removed at once."""
    assert run.operation is not None
    assert run.survivor is not None
    least = max(run.survivor.value or 0, run.operation.value or 0)
    with guarded(run, url) as guard:
        session = guard.get_or_create(run.name)
        if least:
            # Who was stopped before it held the session may come last, with a higher fence, and writes by right.
            with guard.workspace(session) as files:
                written = session.data["fence"], int(files.read("fence"))
            assert min(written) >= least, f"{written} are the fences of row and file, and {least} wrote both"
        store: Any = guard._store
        assert store.leased_until(FindLease(session.id, run.clock())) is None
        ended = guard.end(session)
        assert ended is not None
        assert not ended.removed.deferred


def nobody_holds_whatever_the_clock(run: Run, url: str) -> None:
    """What is not given back ends by itself: a lease later nobody holds any session, and new work goes on."""
    with guarded(run, url) as guard:
        store: Any = guard._store
        for session in guard.sessions(owner=run.name, status=None):
            assert store.leased_until(FindLease(session.id, run.clock() + LEASE)) is None
        session = guard.get_or_create(run.name)
        with guard.hold(session) as hold:
            guard.save(session, {"new": True}, lock=hold)


def work_whatever_the_clock(run: Run, url: str) -> str:
    """Do the same while the clock jumps; a session whose time is over meanwhile is told as well."""
    try:
        work_in_a_hold(run, url)
    except SessionEndedError:
        return "ended"
    return "worked"
