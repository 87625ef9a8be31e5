"""Ending sessions: once, for one reason, and no one else's."""

from sessionguard.core.data import decode
from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, KEEPS_DATA, SECOND, TICK, Stage


@case
def end_gives_the_ended_session(s: Stage) -> Steps:
    """`end` gives the session with its reason and its end, and from then on its token is dead."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    ended = yield from perform(s.end(opened, "escalated", at=SECOND))
    assert ended.outcome is Outcome.DONE
    assert ended.record is not None
    assert (ended.record.id, ended.record.reason, ended.record.ended_us) == (opened.id, "escalated", s.us(SECOND))
    assert (ended.record.generation, ended.record.version) == (opened.generation, opened.version)
    assert (yield from perform(s.get(opened, at=SECOND))) == ended.record
    assert (yield from perform(s.load(opened, at=SECOND))).record is None


@case
def the_first_reason_stays(s: Stage) -> Steps:
    """Ending an ended session is refused; its first reason and its first end stay."""
    opened = (yield from perform(s.create())).record
    first = (yield from perform(s.end(opened, "revoked", at=SECOND))).record
    second = yield from perform(s.end(opened, "escalated", at=2 * SECOND))
    assert (second.outcome, second.record) == (Outcome.ENDED, first)
    assert (yield from perform(s.get(opened, at=2 * SECOND))) == first


@case
def end_after_expiry_is_refused(s: Stage) -> Steps:
    """A session can be ended a tick before its deadline; from the deadline on it has expired and stays so."""
    early = (yield from perform(s.create())).record
    assert (yield from perform(s.end(early, at=IDLE - TICK))).outcome is Outcome.DONE
    for at in (IDLE, IDLE + TICK):
        late = (yield from perform(s.create())).record
        ended = yield from perform(s.end(late, "escalated", at=at))
        assert ended.outcome is Outcome.ENDED, at
        assert ended.record is not None
        assert (ended.record.reason, ended.record.ended_us) == ("expired", late.expires_us), at


@case
def data_is_erased_at_the_end(s: Stage) -> Steps:
    """A session loses its data as it ends, whichever way it ends."""
    records = []
    for owner in ("ana", "bea", "cy", "dan", "eve"):
        records.append((yield from perform(s.get_or_create(owner, data={"secret": owner}))).record)
    by_end, by_owner, by_replace, by_opening, by_sweep = records
    yield from perform(s.end(by_end))
    yield from perform(s.end_owner(by_owner.owner))
    yield from perform(s.replace(by_replace.owner))
    yield from perform(s.get_or_create(by_opening.owner, at=IDLE))
    yield from perform(s.sweep(at=IDLE))
    for record in (by_end, by_owner, by_replace, by_opening, by_sweep):
        stored = yield from perform(s.get(record, at=IDLE))
        assert stored is not None
        assert stored.reason is not None, record.owner
        assert decode(stored.data) == {}, record.owner


@case
def data_stays_if_history_keeps_it(s: Stage) -> Steps:
    """A session whose policy keeps ended data still has it after the end, whichever way it ended."""
    records = []
    for owner in ("ana", "bea", "cy"):
        data = {"kept": owner}
        records.append((yield from perform(s.get_or_create(owner, data=data, lifetime=KEEPS_DATA))).record)
    yield from perform(s.end(records[0]))
    yield from perform(s.replace(records[1].owner))
    yield from perform(s.sweep(at=IDLE))
    for record in records:
        stored = yield from perform(s.get(record, at=IDLE))
        assert stored is not None
        assert stored.reason is not None
        assert decode(stored.data) == {"kept": record.owner}


@case
def an_end_spares_the_siblings(s: Stage) -> Steps:
    """Ending one session of an owner leaves all the others, in every scope and slot, as they are."""
    siblings: list[SessionRecord] = [(yield from perform(s.create("ana"))).record]
    for scope, external_id in (("desk", None), ("desk", "a"), ("desk", "ab"), ("shop", None)):
        siblings.append((yield from perform(s.get_or_create("ana", scope=scope, external_id=external_id))).record)
    target = (yield from perform(s.create("ana"))).record
    yield from perform(s.end(target))
    for sibling in siblings:
        assert (yield from perform(s.get(sibling))) == sibling


@case
def end_owner_ends_all_of_one_owner(s: Stage) -> Steps:
    """`end_owner` ends every active session of the owner, in slots or not, and reports exactly those it ended."""
    places = [("desk", None), ("desk", "a"), ("shop", None)]
    mine = [(yield from perform(s.create("ana"))).record]
    for scope, external_id in places:
        mine.append((yield from perform(s.get_or_create("ana", scope=scope, external_id=external_id))).record)
    yield from perform(s.end(mine[0], "escalated"))
    other = (yield from perform(s.get_or_create("bea"))).record
    ended = yield from perform(s.end_owner("ana", reason="banned", at=SECOND))
    assert {record.id for record in ended.records} == {record.id for record in mine[1:]}
    assert {(record.reason, record.ended_us) for record in ended.records} == {("banned", s.us(SECOND))}
    first = yield from perform(s.get(mine[0], at=SECOND))
    assert first is not None
    assert first.reason == "escalated"
    assert (yield from perform(s.load(other, at=SECOND))).record == other
    for record in mine:
        assert (yield from perform(s.load(record, at=SECOND))).refusal == "ended"


@case
def end_owner_can_keep_one_and_one_scope(s: Stage) -> Steps:
    """`end_owner` spares the session to keep, and with a scope every session of another scope."""
    keep = (yield from perform(s.create("ana"))).record
    here = (yield from perform(s.get_or_create("ana"))).record
    there = (yield from perform(s.get_or_create("ana", scope="shop"))).record
    ended = yield from perform(s.end_owner("ana", scope="desk", keep=keep))
    assert [record.id for record in ended.records] == [here.id]
    for spared in (keep, there):
        assert (yield from perform(s.load(spared))).record == spared


@case
def end_owner_leaves_expired_sessions_expired(s: Stage) -> Steps:
    """`end_owner` neither reports nor relabels a session that had expired before."""
    expired = (yield from perform(s.create("ana"))).record
    ended = yield from perform(s.end_owner("ana", reason="banned", at=IDLE))
    assert ended.records == ()
    stored = yield from perform(s.get(expired, at=IDLE))
    assert stored is not None
    assert stored.reason == "expired"


@case
def end_owner_of_a_stranger_ends_nothing(s: Stage) -> Steps:
    """`end_owner` of an owner without sessions, or whose name only looks alike, ends nothing."""
    ana = (yield from perform(s.get_or_create("ana"))).record
    for owner in ("nobody", "an", "anaa", "Ana", "a%", "an_", "ana*", "*", "%"):
        assert (yield from perform(s.end_owner(owner))).records == (), owner
    assert (yield from perform(s.load(ana))).record == ana


@case
def after_end_owner_no_older_generation_is_usable(s: Stage) -> Steps:
    """After `end_owner` the owner's slot opens a session with a higher generation than every one that was ended."""
    old = (yield from perform(s.get_or_create("ana"))).record
    yield from perform(s.end_owner("ana"))
    new = (yield from perform(s.get_or_create("ana"))).record
    assert new.generation > old.generation
    assert (yield from perform(s.load(old))).record is None
    assert (yield from perform(s.load(new))).record == new


@case
def logout_under_a_slow_request(s: Stage) -> Steps:
    """After a logout, a slow request that had loaded before saves, touches, rotates in vain; its token stays dead."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    slow = (yield from perform(s.load(opened))).record
    assert slow is not None
    yield from perform(s.elsewhere(s.end(opened, at=SECOND)))
    for command in (s.save(slow, {"n": 2}, at=SECOND), s.touch(slow, at=SECOND), s.rotate(slow, at=SECOND)):
        assert (yield from perform(command)).outcome is Outcome.ENDED, command.verb
    assert (yield from perform(s.load(slow, at=SECOND))).refusal == "ended"
