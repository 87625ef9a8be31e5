"""Limits: how many active sessions an owner has in a scope, whoever opens them, and who goes if one is too many."""

from datetime import timedelta
from typing import Final

from sessionguard.core.driving import Flow, perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.limits import ActiveLimit
from sessionguard.core.records import SessionRecord
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, SECOND, START, TICK, TOUCH, Stage

TWO: Final = ActiveLimit(2, "refuse")
TWO_NEWEST: Final = ActiveLimit(2, "end_oldest")
TWO_SEEN_LAST: Final = ActiveLimit(2, "end_idle_longest")


def told(ended: tuple[SessionRecord, ...]) -> list[tuple[str, str | None]]:
    """Give who was ended, and why."""
    return [(record.id, record.reason) for record in ended]


def active(s: Stage, *records: SessionRecord, at: timedelta = START) -> Flow[list[bool]]:
    """Tell which of these sessions can still be used."""
    found = []
    for record in records:
        known = yield from perform(s.get(record, at=at))
        found.append(known is not None and known.reason is None)
    return found


@case(needs="limits")
def a_session_too_many_is_refused(s: Stage) -> Steps:
    """Under `refuse` the session that would be one too many is not opened, by no verb, and nothing is changed."""
    first = (yield from perform(s.create("ana", at_most=TWO))).record
    slot = (yield from perform(s.get_or_create("ana", at_most=TWO))).record
    for command in (
        s.create("ana", at=SECOND, at_most=TWO),
        s.get_or_create("ana", external_id="42", at=SECOND, at_most=TWO),
        s.replace("ana", external_id="42", at=SECOND, at_most=TWO),
    ):
        assert (yield from perform(command)).is_refused, command.verb
        assert (yield from perform(s.get_by_id(command.new.id, at=SECOND))) is None, command.verb
        assert (yield from perform(s.load(command.new.token_hash, at=SECOND))).refusal == "unknown", command.verb
    for record in (first, slot):
        assert (yield from perform(s.get(record, at=SECOND))) == record
    yield from perform(s.end(first, at=SECOND))
    assert not (yield from perform(s.create("ana", at=SECOND, at_most=TWO))).is_refused


@case(needs="limits")
def finding_a_session_is_never_refused(s: Stage) -> Steps:
    """`get_or_create` gives the session of the slot however many there are: only opening is limited."""
    slot = (yield from perform(s.get_or_create("ana"))).record
    for _ in range(3):
        yield from perform(s.create("ana"))
    for limit in (TWO, TWO_NEWEST):
        found = yield from perform(s.get_or_create("ana", at=SECOND, at_most=limit))
        assert not found.is_refused
        assert (found.record, found.ended) == (slot, ())
    touched = yield from perform(s.get_or_create("ana", at=TOUCH, at_most=TWO))
    assert (touched.record.id, touched.touched) == (slot.id, True)


@case(needs="limits")
def limits_are_of_one_owner_in_one_scope(s: Stage) -> Steps:
    """Sessions of other owners, and of the owner in other scopes, do not count, whatever their names look like."""
    for owner, scope in (("ana", "desk"), ("ana", "shop"), ("Ana", "desk"), ("anad", "esk"), ("an", "adesk")):
        for _ in range(2):
            assert not (yield from perform(s.create(owner, scope=scope, at_most=TWO))).is_refused, (owner, scope)
        assert (yield from perform(s.create(owner, scope=scope, at_most=TWO))).is_refused, (owner, scope)
    opened = yield from perform(s.create("ana", scope="shop", at_most=TWO_NEWEST))
    assert {record.scope for record in opened.ended} == {"shop"}


@case(needs="limits")
def the_oldest_goes(s: Stage) -> Steps:
    """Under `end_oldest` the session created first ends with the reason `limit`, however lately it was seen."""
    oldest = (yield from perform(s.create("ana", at=START))).record
    newer = (yield from perform(s.get_or_create("ana", at=SECOND))).record
    yield from perform(s.touch(oldest, at=2 * SECOND))
    opened = yield from perform(s.create("ana", at=3 * SECOND, at_most=TWO_NEWEST))
    assert told(opened.ended) == [(oldest.id, "limit")]
    assert opened.ended[0].ended_us == s.us(3 * SECOND)
    assert (yield from perform(s.load(oldest, at=3 * SECOND))).refusal == "ended"
    assert (yield from perform(s.get(oldest, at=3 * SECOND))) == opened.ended[0]
    assert (yield from active(s, newer, opened.record, at=3 * SECOND)) == [True, True]


@case(needs="limits")
def the_one_idle_longest_goes(s: Stage) -> Steps:
    """Under `end_idle_longest` the session goes that was not seen for longest, though it be the newest."""
    first = (yield from perform(s.create("ana", at=START))).record
    second = (yield from perform(s.create("ana", at=SECOND))).record
    yield from perform(s.touch(first, at=2 * SECOND))
    opened = yield from perform(s.replace("ana", at=3 * SECOND, at_most=TWO_SEEN_LAST))
    assert told(opened.ended) == [(second.id, "limit")]
    assert (yield from active(s, first, second, at=3 * SECOND)) == [True, False]


@case(needs="limits")
def among_equals_the_id_decides(s: Stage) -> Steps:
    """Of sessions of one instant those with the lowest ids go, and a lowered limit makes as many go as it takes."""
    for limit in (ActiveLimit(2, "end_oldest"), ActiveLimit(2, "end_idle_longest")):
        owner = f"ana {limit.on_limit}"
        records = []
        for _ in range(5):
            records.append((yield from perform(s.create(owner))).record)
        leaving = sorted(record.id for record in records)[:4]
        opened = yield from perform(s.create(owner, at_most=limit))
        assert told(opened.ended) == [(session_id, "limit") for session_id in leaving]
        kept = [record for record in records if record.id not in leaving]
        assert (yield from active(s, *kept, opened.record)) == [True, True]


@case(needs="limits")
def the_expired_do_not_count(s: Stage) -> Steps:
    """A session counts up to its deadline and not from it on; it is ended `expired` on the way, at its deadline."""
    first = (yield from perform(s.create("ana", at=START))).record
    second = (yield from perform(s.get_or_create("ana", external_id="42", at=SECOND))).record
    assert (yield from perform(s.create("ana", at=IDLE - TICK, at_most=TWO))).is_refused
    opened = yield from perform(s.create("ana", at=IDLE, at_most=TWO))
    assert told(opened.ended) == [(first.id, "expired")]
    assert opened.ended[0].ended_us == s.us(IDLE)
    assert (yield from perform(s.sweep(at=IDLE))).records == ()
    # Nothing is changed by what is refused, not even what has expired.
    assert (yield from perform(s.create("ana", at=IDLE, at_most=ActiveLimit(1, "refuse")))).is_refused
    late = yield from perform(s.create("ana", at=IDLE + SECOND, at_most=TWO_NEWEST))
    assert told(late.ended) == [(second.id, "expired")]


@case(needs="limits")
def who_is_replaced_frees_its_place(s: Stage) -> Steps:
    """`replace` in a full scope ends the session of the slot and no other, and one that expired there the same."""
    beside = (yield from perform(s.create("ana"))).record
    former = (yield from perform(s.get_or_create("ana"))).record
    for limit in (TWO, TWO_NEWEST):
        replaced = yield from perform(s.replace("ana", at_most=limit))
        assert told(replaced.ended) == [(former.id, "replaced")]
        former = replaced.record
    yield from perform(s.touch(beside, at=IDLE - TICK))
    reopened = yield from perform(s.get_or_create("ana", at=IDLE, at_most=TWO))
    assert told(reopened.ended) == [(former.id, "expired")]
    # A limit that was lowered has no place for it either: then the former one stays.
    tight = ActiveLimit(1, "refuse")
    assert (yield from perform(s.replace("ana", at=IDLE, at_most=tight))).is_refused
    assert (yield from active(s, reopened.record, beside, at=IDLE)) == [True, True]
    both = yield from perform(s.replace("ana", at=IDLE, at_most=ActiveLimit(1, "end_oldest")))
    assert sorted(told(both.ended)) == sorted([(beside.id, "limit"), (reopened.record.id, "replaced")])


@case(needs="limits")
def a_login_too_many_is_refused(s: Stage) -> Steps:
    """A rotation that would give an owner one session too many changes nothing: neither the token nor the owner."""
    for _ in range(2):
        yield from perform(s.create("ana"))
    for visitor in (*s.visitors("ana", 1), s.neighbour("ana")):
        session = (yield from perform(s.create(visitor))).record
        rotate = s.rotate(session, owner="ana", at_most=TWO)
        refused = yield from perform(rotate)
        assert (refused.outcome, refused.record, refused.ended) == (Outcome.FULL, session, ())
        assert (yield from perform(s.get(session))) == session
        assert (yield from perform(s.load(rotate.token_hash))).refusal == "unknown"
        # Without another owner nobody is added.
        assert (yield from perform(s.rotate(session, at_most=TWO))).outcome is Outcome.DONE


@case(needs="limits")
def a_login_ends_others_and_never_itself(s: Stage) -> Steps:
    """The session that logs in stays, though it be the oldest of all; the other ones of the owner go in their turn."""
    away, other = s.visitors("ana", 2)
    for limit, whence in ((TWO_NEWEST, away), (TWO_SEEN_LAST, away), (TWO_NEWEST, s.neighbour("ana"))):
        visit = (yield from perform(s.create(whence, at=START))).record
        first = (yield from perform(s.create("ana", at=SECOND))).record
        second = (yield from perform(s.get_or_create("ana", at=2 * SECOND))).record
        login = yield from perform(s.rotate(visit, owner="ana", at=3 * SECOND, at_most=limit))
        assert (login.outcome, told(login.ended)) == (Outcome.DONE, [(first.id, "limit")])
        assert login.record is not None
        assert login.record.owner == "ana"
        late = (yield from perform(s.create(other, at=3 * SECOND))).record
        # From then on it is one of them: it was created first.
        again = yield from perform(s.rotate(late, owner="ana", at=4 * SECOND, at_most=TWO_NEWEST))
        assert told(again.ended) == [(visit.id, "limit")]
        assert (yield from perform(s.load(login.record, at=4 * SECOND))).refusal == "ended"
        assert (yield from active(s, second, late, at=4 * SECOND)) == [True, True]
        yield from perform(s.end_owner("ana", at=5 * SECOND))


@case(needs="limits")
def those_who_logged_in_count(s: Stage) -> Steps:
    """A session that received its owner counts as any other of that owner, until it ends, and then no more."""
    here, away, late = (yield from perform(s.create("ana"))).record, *s.visitors("ana", 2)
    visit = (yield from perform(s.create(away))).record
    login = (yield from perform(s.rotate(visit, owner="ana", at_most=TWO))).record
    assert login is not None
    assert (yield from perform(s.create("ana", at_most=TWO))).is_refused
    other = (yield from perform(s.create(late))).record
    assert (yield from perform(s.rotate(other, owner="ana", at_most=TWO))).outcome is Outcome.FULL
    yield from perform(s.end(login, at=SECOND))
    assert (yield from perform(s.rotate(other, owner="ana", at=SECOND, at_most=TWO))).outcome is Outcome.DONE
    assert (yield from perform(s.create("ana", at=SECOND, at_most=TWO))).is_refused
    # It expires elsewhere than it is counted.
    yield from perform(s.touch(here, at=SECOND))
    assert (yield from perform(s.create("ana", at=IDLE, at_most=TWO))).record.reason is None
    assert (yield from perform(s.create("ana", at=IDLE, at_most=TWO))).is_refused
    # Whoever left does not count where he came from.
    assert not (yield from perform(s.create(away, at=IDLE, at_most=ActiveLimit(1, "refuse")))).is_refused


@case(needs="limits")
def a_repeated_opening_ends_nobody_else(s: Stage) -> Steps:
    """An opening that ended others gives the first answer when it comes again, and ends nobody else."""
    for verb in (s.create, s.replace, s.get_or_create):
        owner = f"ana {verb.__name__}"
        for at in (START, SECOND):
            yield from perform(s.create(owner, at=at))
        command = verb(owner, at=2 * SECOND, at_most=ActiveLimit(1, "end_oldest"))
        opened = yield from perform(command)
        assert len(opened.ended) == 2
        assert (yield from perform(s.elsewhere(command))) == opened
        # Others came since, more than the limit allows: a repetition is not judged by them.
        yield from perform(s.create(owner, at=3 * SECOND))
        again = yield from perform(command)
        assert again == opened


@case(needs="limits")
def a_repeated_login_ends_nobody_else(s: Stage) -> Steps:
    """A rotation that ended others gives the first answer when it comes again, and ends nobody else."""
    for visitor in (*s.visitors("ana", 1), s.neighbour("ana")):
        yield from perform(s.create("ana"))
        visit = (yield from perform(s.create(visitor))).record
        command = s.rotate(visit, owner="ana", at=SECOND, at_most=ActiveLimit(1, "end_oldest"))
        login = yield from perform(command)
        assert len(login.ended) == 1
        yield from perform(s.create("ana", at=2 * SECOND))
        assert (yield from perform(s.elsewhere(command))) == login
        yield from perform(s.end_owner("ana", at=3 * SECOND))


@case(needs="limits leases")
def a_session_in_use_may_go(s: Stage) -> Steps:
    """A session that somebody holds ends for the limit as well; the lease goes on, for the sake of the files."""
    held = (yield from perform(s.create("ana"))).record
    yield from perform(s.hold(held, "0011223344556677", lease=10 * SECOND))
    opened = yield from perform(s.create("ana", at=SECOND, at_most=ActiveLimit(1, "end_oldest")))
    assert told(opened.ended) == [(held.id, "limit")]
    assert (yield from perform(s.leased(held, at=SECOND))) == s.us(10 * SECOND)
