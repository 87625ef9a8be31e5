"""Shards: a session stays where its id says, whoever receives it; an owner's sessions are found wherever they are."""

from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import GRACE, SECOND, START, TICK, Stage


@case
def a_rotated_token_leads_to_its_session_after_login(s: Stage) -> Steps:
    """Every token of a session leads to it, those before and after it received an owner of another shard too."""
    [visitor] = s.visitors("ana", 1)
    opened = (yield from perform(s.create(visitor, data={"n": 1}))).record
    login = (yield from perform(s.rotate(opened, owner="ana", at=SECOND))).record
    assert login is not None
    assert shard_of(login.token_hash) == shard_of(opened.id)
    for token in (login, opened):
        assert (yield from perform(s.elsewhere(s.load(token, at=SECOND)))).record == login
    saved = (yield from perform(s.save(login, {"n": 2}, at=SECOND))).record
    assert saved is not None
    again = (yield from perform(s.rotate(saved, at=2 * SECOND))).record
    assert again is not None
    for token, at in ((again, 2 * SECOND), (login, 2 * SECOND + GRACE - TICK)):
        assert (yield from perform(s.load(token, at=at))).record == again
    assert (yield from perform(s.load(opened, at=2 * SECOND))).record is None
    assert (yield from perform(s.get(login, at=2 * SECOND))) == again


@case
def end_owner_ends_who_was_anonymous_before(s: Stage) -> Steps:
    """`end_owner` ends the sessions that were opened for the owner and those that the owner received, and no others."""
    mine = {(yield from perform(s.get_or_create("ana"))).record.id, (yield from perform(s.create("ana"))).record.id}
    received = []
    for visitor in s.visitors("ana", 3):
        opened = (yield from perform(s.create(visitor))).record
        received.append((yield from perform(s.rotate(opened, owner="ana"))).record)
    [elsewhere] = s.visitors("bea", 1)
    opened = (yield from perform(s.create(elsewhere))).record
    spared = (yield from perform(s.rotate(opened, owner="bea"))).record
    assert spared is not None
    command = s.end_owner("ana", reason="banned", at=SECOND)
    ended = yield from perform(command)
    assert {(record.id, record.reason) for record in ended.records} == {
        (session_id, "banned") for session_id in mine | {record.id for record in received if record is not None}
    }
    assert len(ended.records) == 5
    assert (yield from perform(s.elsewhere(command))) == ended
    for record in ended.records:
        assert (yield from perform(s.load(record, at=SECOND))).refusal == "ended"
    assert (yield from perform(s.load(spared, at=SECOND))).record == spared


@case
def end_owner_keeps_one_that_was_anonymous_before(s: Stage) -> Steps:
    """`end_owner` spares a received session that is to be kept, and received ones of other scopes than its own."""
    received: list[SessionRecord] = []
    for visitor, scope in zip(s.visitors("ana", 3), ("desk", "desk", "shop"), strict=True):
        opened = (yield from perform(s.create(visitor, scope=scope))).record
        login = (yield from perform(s.rotate(opened, owner="ana"))).record
        assert login is not None
        received.append(login)
    keep, gone, there = received
    ended = yield from perform(s.end_owner("ana", scope="desk", keep=keep))
    assert [record.id for record in ended.records] == [gone.id]
    for spared in (keep, there):
        assert (yield from perform(s.load(spared))).record == spared


@case
def the_former_owner_has_nothing_to_do_with_it(s: Stage) -> Steps:
    """After a session was received, `end_owner` of the visitor who had it before ends nothing."""
    [visitor] = s.visitors("ana", 1)
    opened = (yield from perform(s.create(visitor))).record
    login = yield from perform(s.rotate(opened, owner="ana"))
    assert login.outcome is Outcome.DONE
    assert (yield from perform(s.end_owner(visitor))).records == ()
    assert (yield from perform(s.get(opened))) == login.record


@case(needs="listing")
def the_list_of_an_owner_has_who_was_anonymous_before(s: Stage) -> Steps:
    """One owner's list has the sessions opened for and received by the owner, newest first across both and pages."""
    expected: list[SessionRecord] = []
    for number, visitor in enumerate(s.visitors("ana", 8)):
        at = number // 2 * SECOND
        if number % 3 == 0:
            expected.append((yield from perform(s.create("ana", at=at))).record)
            continue
        opened = (yield from perform(s.create(visitor, at=at))).record
        login = (yield from perform(s.rotate(opened, owner="ana", at=10 * SECOND))).record
        assert login is not None
        expected.append(login)
        page = yield from perform(s.page(owner=visitor, status=None, at=10 * SECOND))
        assert (page.records, page.cursor) == ((), None)
    expected.sort(key=lambda record: (-record.created_us, record.id))
    for limit in (1, 2, 3, 100):
        listed: list[SessionRecord] = []
        cursor = None
        for _ in range(len(expected) + 1):
            page = yield from perform(s.page(owner="ana", limit=limit, cursor=cursor, at=10 * SECOND))
            assert len(page.records) <= limit
            listed.extend(page.records)
            cursor = page.cursor
            if cursor is None:
                break
        assert [record.created_us for record in listed] == [record.created_us for record in expected], limit
        assert sorted(listed, key=lambda record: (-record.created_us, record.id)) == expected, limit
    everything = yield from perform(s.page(status=None, at=START))
    assert len({record.id for record in everything.records}) == len(everything.records) == len(expected)
