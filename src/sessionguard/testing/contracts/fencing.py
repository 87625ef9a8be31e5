"""Saves under a lock: whoever lost the lock to another saves nothing more."""

from sessionguard.core.commands import Fence
from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import SECOND, Stage


@case(needs="locks")
def a_save_with_the_current_fence_is_done(s: Stage) -> Steps:
    """A save under a lock is done while the lock is held, and once given back or lapsed until another takes it."""
    opened = (yield from perform(s.create())).record
    held = yield from perform(s.acquire(opened, "one", lease=SECOND))
    fence = Fence("door", held.fence)
    for number, at in enumerate((0 * SECOND, SECOND, 5 * SECOND)):
        saved = yield from perform(s.save(opened, {"n": number}, fence=fence, at=at))
        assert (saved.outcome, saved.record and saved.record.version) == (Outcome.DONE, number + 2), at
    held = yield from perform(s.acquire(opened, "two", at=5 * SECOND))
    fence = Fence("door", held.fence)
    assert (yield from perform(s.save(opened, {"n": 4}, fence=fence, at=5 * SECOND))).outcome is Outcome.DONE
    yield from perform(s.release(opened, "two", at=5 * SECOND))
    assert (yield from perform(s.save(opened, {"n": 5}, fence=fence, at=5 * SECOND))).outcome is Outcome.DONE


@case(needs="locks")
def a_save_with_a_lower_fence_is_refused(s: Stage) -> Steps:
    """Once another has taken the lock, a save with the former fence is refused, also after that one gave it back."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    stale = Fence("door", (yield from perform(s.acquire(opened, "one", lease=SECOND))).fence)
    newer = Fence("door", (yield from perform(s.elsewhere(s.acquire(opened, "two", at=SECOND)))).fence)
    for at in (SECOND, 2 * SECOND):
        for changes in ({"n": 1}, {}):
            refused = yield from perform(s.save(opened, changes, fence=stale, at=at))
            assert (refused.outcome, refused.record) == (Outcome.FENCED, opened), at
        yield from perform(s.release(opened, "two", at=at))
    assert (yield from perform(s.get(opened, at=2 * SECOND))) == opened
    assert (yield from perform(s.save(opened, {"n": 2}, fence=newer, at=2 * SECOND))).outcome is Outcome.DONE
    assert (yield from perform(s.save(opened, {"n": 3}, at=2 * SECOND))).outcome is Outcome.DONE


@case(needs="locks")
def a_fence_is_that_of_one_lock_of_one_session(s: Stage) -> Steps:
    """A fence is compared with the lock of that name of that session; a lock that nobody has taken has the fence 0."""
    opened = (yield from perform(s.create("ana"))).record
    other = (yield from perform(s.create("ana"))).record
    assert (yield from perform(s.save(opened, {"n": 0}, fence=Fence("door", 0)))).outcome is Outcome.DONE
    for turn in range(3):
        yield from perform(s.acquire(opened, f"holder-{turn}", at=turn * SECOND))
    at = 3 * SECOND
    assert (yield from perform(s.save(opened, {"n": 1}, fence=Fence("door", 0), at=at))).outcome is Outcome.FENCED
    for name in ("Door", "doo", "door:", "window"):
        saved = yield from perform(s.save(opened, {"n": 2}, fence=Fence(name, 0), at=at))
        assert saved.outcome is Outcome.DONE, name
    assert (yield from perform(s.save(other, {"n": 3}, fence=Fence("door", 0), at=at))).outcome is Outcome.DONE


@case(needs="locks")
def a_fenced_save_is_judged_in_order(s: Stage) -> Steps:
    """A save is judged in this order: unknown, ended, fenced, conflict, too large."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    stale = Fence("door", (yield from perform(s.acquire(opened, "one", lease=SECOND))).fence)
    newer = Fence("door", (yield from perform(s.acquire(opened, "two", at=SECOND))).fence)
    large = {"text": "x" * 100}
    for fence, version, expected in (
        (stale, 9, Outcome.FENCED),
        (stale, 1, Outcome.FENCED),
        (newer, 9, Outcome.CONFLICT),
        (newer, 1, Outcome.TOO_LARGE),
    ):
        command = s.save(opened, large, expected_version=version, limit_bytes=50, fence=fence, at=SECOND)
        refused = yield from perform(command)
        assert (refused.outcome, refused.record) == (expected, opened), (fence, version)
    ended = (yield from perform(s.end(opened, at=SECOND))).record
    late = yield from perform(s.save(opened, large, expected_version=9, fence=stale, at=SECOND))
    assert (late.outcome, late.record) == (Outcome.ENDED, ended)
    unknown = yield from perform(s.save(s.new(), large, expected_version=9, fence=stale, at=SECOND))
    assert (unknown.outcome, unknown.record) == (Outcome.ENDED, None)


@case(needs="locks")
def repeated_fenced_save_is_done_though_the_lock_moved_on(s: Stage) -> Steps:
    """A save under a lock that comes again after another took the lock is done, as it was, and changes nothing."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    fence = Fence("door", (yield from perform(s.acquire(opened, "one", lease=SECOND))).fence)
    command = s.save(opened, {"n": 1}, expected_version=1, fence=fence)
    assert (yield from perform(command)).outcome is Outcome.DONE
    newer = Fence("door", (yield from perform(s.acquire(opened, "two", at=SECOND))).fence)
    saved = (yield from perform(s.save(opened, {"n": 2}, fence=newer, at=SECOND))).record
    again = yield from perform(s.elsewhere(command))
    assert (again.outcome, again.record) == (Outcome.DONE, saved)
    assert (yield from perform(s.get(opened, at=SECOND))) == saved
