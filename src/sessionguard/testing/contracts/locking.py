"""Locks: one holder, a lease that lapses, a fence that only grows."""

from attrs import evolve

from sessionguard.core.commands import LockReply
from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import REMEMBERED_OPERATIONS
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, SECOND, START, TICK, Stage


@case(needs="locks")
def a_held_lock_is_refused_to_others(s: Stage) -> Steps:
    """While a lock is held, another holder conflicts, through any connection; other names and sessions are free."""
    opened = (yield from perform(s.create("ana"))).record
    sibling = (yield from perform(s.create("ana"))).record
    assert (yield from perform(s.acquire(opened, "one"))).outcome is Outcome.DONE
    assert (yield from perform(s.acquire(opened, "two"))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.elsewhere(s.acquire(opened, "two", at=SECOND - TICK)))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.acquire(opened, "two", "window"))).outcome is Outcome.DONE
    assert (yield from perform(s.acquire(sibling, "two"))).outcome is Outcome.DONE


@case(needs="locks")
def fences_grow_with_every_taking(s: Stage) -> Steps:
    """Every taking of a lock gets a higher fence than all before, whether it was released or had lapsed."""
    opened = (yield from perform(s.create())).record
    fences = []
    for turn, holder in enumerate(("one", "two", "one", "three")):
        taken = yield from perform(s.acquire(opened, holder, at=turn * 2 * SECOND))
        assert taken.outcome is Outcome.DONE
        fences.append(taken.fence)
        if turn % 2:
            yield from perform(s.release(opened, holder, at=turn * 2 * SECOND))
    assert fences == sorted(set(fences))
    assert fences[0] > 0


@case(needs="locks")
def a_lapsed_lock_is_taken_over(s: Stage) -> Steps:
    """A lock can be taken over at the instant its lease lapses and not before; its former holder has lost it."""
    opened = (yield from perform(s.create())).record
    first = yield from perform(s.acquire(opened, "one", lease=SECOND))
    assert (yield from perform(s.acquire(opened, "two", at=SECOND - TICK))).outcome is Outcome.CONFLICT
    second = yield from perform(s.acquire(opened, "two", at=SECOND))
    assert second.outcome is Outcome.DONE
    assert second.fence > first.fence
    assert (yield from perform(s.renew(opened, "one", at=SECOND))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.release(opened, "one", at=SECOND))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.renew(opened, "two", at=SECOND))).outcome is Outcome.DONE


@case(needs="locks")
def renewing_keeps_the_lock_and_its_fence(s: Stage) -> Steps:
    """Renewing prolongs the lease from that instant with the same fence; a lapsed lease cannot be renewed."""
    opened = (yield from perform(s.create())).record
    taken = yield from perform(s.acquire(opened, "one", lease=SECOND))
    kept = yield from perform(s.renew(opened, "one", lease=SECOND, at=SECOND - TICK))
    assert (kept.outcome, kept.fence) == (Outcome.DONE, taken.fence)
    assert (yield from perform(s.acquire(opened, "two", at=2 * SECOND - 2 * TICK))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.renew(opened, "one", at=2 * SECOND - TICK))).outcome is Outcome.CONFLICT
    again = yield from perform(s.acquire(opened, "one", at=2 * SECOND - TICK))
    assert again.outcome is Outcome.DONE
    assert again.fence > taken.fence


@case(needs="locks")
def only_the_holder_releases(s: Stage) -> Steps:
    """A release by anyone but the holder conflicts and changes nothing; the holder's frees the lock at once."""
    opened = (yield from perform(s.create())).record
    yield from perform(s.acquire(opened, "one"))
    assert (yield from perform(s.release(opened, "two"))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.acquire(opened, "two"))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.release(opened, "one"))).outcome is Outcome.DONE
    assert (yield from perform(s.release(opened, "two"))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.acquire(opened, "two"))).outcome is Outcome.DONE


@case(needs="locks")
def repeated_release_answers_the_same(s: Stage) -> Steps:
    """The same release again is done with the same fence, also after another took the lock, and frees nothing."""
    opened = (yield from perform(s.create())).record
    first = yield from perform(s.acquire(opened, "one"))
    release = s.release(opened, "one")
    for again in (release, release, s.elsewhere(release)):
        assert (yield from perform(again)) == first
    second = yield from perform(s.acquire(opened, "two"))
    assert (yield from perform(release)) == first
    assert (yield from perform(s.acquire(opened, "three"))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.renew(opened, "two"))) == second
    assert (yield from perform(s.release(opened, "two"))) == second
    for again in (release, s.elsewhere(release)):
        assert (yield from perform(again)) == first
    assert (yield from perform(s.release(opened, "two"))) == second
    assert (yield from perform(s.release(opened, "three"))).outcome is Outcome.CONFLICT


@case(needs="locks")
def repeated_release_is_known_after_many_others(s: Stage) -> Steps:
    """A release is known again after as many releases of that lock by others as a store has to remember, less one."""
    opened = (yield from perform(s.create())).record
    holders = [s.operation() for _ in range(REMEMBERED_OPERATIONS)]
    fences = []
    for holder in holders:
        fences.append((yield from perform(s.acquire(opened, holder))).fence)
        yield from perform(s.release(opened, holder))
    for holder, fence in zip(holders, fences, strict=True):
        again = yield from perform(s.release(opened, holder))
        assert (again.outcome, again.fence) == (Outcome.DONE, fence)


@case(needs="locks")
def who_lost_a_lock_never_releases_it(s: Stage) -> Steps:
    """A holder whose lease lapsed and who lost the lock to another conflicts, also after that one gave it back."""
    opened = (yield from perform(s.create())).record
    yield from perform(s.acquire(opened, "one", lease=SECOND))
    yield from perform(s.acquire(opened, "two", at=SECOND))
    assert (yield from perform(s.release(opened, "one", at=SECOND))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.release(opened, "two", at=SECOND))).outcome is Outcome.DONE
    for at in (SECOND, 3 * SECOND):
        assert (yield from perform(s.release(opened, "one", at=at))).outcome is Outcome.CONFLICT


@case(needs="locks")
def taking_a_lock_twice_is_taking_it_once(s: Stage) -> Steps:
    """The same holder asking again, as after a lost reply, gets the same fence while the lease lasts."""
    opened = (yield from perform(s.create())).record
    first = yield from perform(s.acquire(opened, "one"))
    again = yield from perform(s.elsewhere(s.acquire(opened, "one")))
    assert (again.outcome, again.fence) == (Outcome.DONE, first.fence)


@case(needs="locks")
def a_dead_session_gives_no_locks(s: Stage) -> Steps:
    """A lock of a session that has ended or expired, or is not known, is refused as ended."""
    ended = (yield from perform(s.create())).record
    yield from perform(s.end(ended))
    expired = (yield from perform(s.create())).record
    assert (yield from perform(s.acquire(ended, "one"))).outcome is Outcome.ENDED
    assert (yield from perform(s.acquire(expired, "one", at=IDLE))).outcome is Outcome.ENDED
    assert (yield from perform(s.acquire(s.new(), "one"))).outcome is Outcome.ENDED
    assert (yield from perform(s.acquire(expired, "one", at=IDLE - TICK))).outcome is Outcome.DONE


@case(needs="locks")
def lock_names_are_compared_as_they_are(s: Stage) -> Steps:
    """Names that differ in case, normal form or separators are different locks."""
    opened = (yield from perform(s.create())).record
    for name in ("door", "Door", "door:", "d%", "é", "e\u0301", "🦊", "n" * 512):
        taken = yield from perform(s.acquire(opened, name, name, at=START))
        assert taken.outcome is Outcome.DONE, name


@case(needs="locks")
def locks_leave_the_session_as_it_is(s: Stage) -> Steps:
    """Taking, renewing and releasing a lock changes nothing about the session."""
    opened = (yield from perform(s.create(data={"n": 1}))).record
    for command in (s.acquire(opened, "one"), s.renew(opened, "one"), s.release(opened, "one")):
        assert (yield from perform(command)).outcome is Outcome.DONE
    assert (yield from perform(s.get(opened))) == opened


@case(needs="locks")
def who_knew_a_visitor_locks_nothing_after_its_login(s: Stage) -> Steps:
    """Who knows a session as a visitor's takes no lock of it from its login on; one that he has he keeps."""
    visitor = (yield from perform(s.create(s.mint.anonymous_owner()))).record
    held = yield from perform(evolve(s.acquire(visitor, "one"), meant=visitor))
    assert held.outcome is Outcome.DONE
    rotated = (yield from perform(s.rotate(visitor, owner="ana"))).record
    assert rotated is not None
    for holder, name in (("one", "door"), ("two", "door"), ("two", "window")):
        stale = evolve(s.acquire(visitor, holder, name), meant=visitor)
        assert (yield from perform(stale)) == LockReply(Outcome.ENDED, 0)
    # Who has logged in under it goes on, and nobody else comes until it is given back.
    assert (yield from perform(s.renew(visitor, "one"))) == held
    assert (yield from perform(evolve(s.acquire(rotated, "two"), meant=rotated))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.release(visitor, "one"))) == held
    taken = yield from perform(evolve(s.acquire(rotated, "two"), meant=rotated))
    assert (taken.outcome, taken.fence > held.fence) == (Outcome.DONE, True)
    other = (yield from perform(s.create(s.mint.anonymous_owner()))).record
    assert (yield from perform(evolve(s.acquire(other, "two"), meant=other))).outcome is Outcome.DONE
