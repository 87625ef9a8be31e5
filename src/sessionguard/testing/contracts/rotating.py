"""Rotating tokens: one winner, a short grace for the former token, and login."""

from attrs import evolve

from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import GRACE, IDLE, SECOND, START, TICK, Stage


@case
def rotate_replaces_the_token(s: Stage) -> Steps:
    """After `rotate` the new token loads the session; nothing else about it has changed."""
    opened = (yield from perform(s.create("ana", data={"n": 1}))).record
    command = s.rotate(opened, at=SECOND)
    rotated = yield from perform(command)
    assert rotated.outcome is Outcome.DONE
    assert rotated.record is not None
    assert rotated.record.token_hash == command.token_hash
    assert rotated.record.previous_hash == opened.token_hash
    assert rotated.record.previous_until_us == s.us(SECOND + GRACE)
    same = ("id", "owner", "data", "version", "generation", "expires_us", "last_seen_us", "exclusive", "external_id")
    assert all(getattr(rotated.record, name) == getattr(opened, name) for name in same)
    assert (yield from perform(s.load(rotated.record, at=SECOND))).record == rotated.record


@case
def the_former_token_loads_only_in_its_grace(s: Stage) -> Steps:
    """The former token loads a tick before its grace is over, and is refused as `after grace` at that instant."""
    opened = (yield from perform(s.create())).record
    rotated = (yield from perform(s.rotate(opened, at=SECOND))).record
    assert rotated is not None
    over = SECOND + GRACE
    assert (yield from perform(s.load(opened, at=over - TICK))).record == rotated
    for at in (over, over + TICK):
        loaded = yield from perform(s.load(opened, at=at))
        assert (loaded.record, loaded.refusal, loaded.refused_id) == (None, "after grace", opened.id), at
        assert (yield from perform(s.load(rotated, at=at))).record is not None, at


@case
def without_grace_the_former_token_is_dead_at_once(s: Stage) -> Steps:
    """After a rotation with no grace the former token is refused at the very instant of the rotation."""
    opened = (yield from perform(s.create())).record
    yield from perform(s.rotate(opened, grace=START, at=SECOND))
    assert (yield from perform(s.load(opened, at=SECOND))).refusal == "after grace"


@case
def a_second_rotation_forgets_the_first_token(s: Stage) -> Steps:
    """Of three tokens the last is current, the one before it has its grace, and the first is dead at once."""
    first = (yield from perform(s.create())).record
    second = (yield from perform(s.rotate(first, at=SECOND))).record
    assert second is not None
    third = (yield from perform(s.rotate(second, at=2 * SECOND))).record
    assert third is not None
    assert (yield from perform(s.load(third, at=2 * SECOND))).record == third
    assert (yield from perform(s.load(second, at=2 * SECOND))).record == third
    assert (yield from perform(s.load(first, at=2 * SECOND))).record is None


@case
def rotations_from_one_token_have_one_winner(s: Stage) -> Steps:
    """Of two rotations that expect one token the second conflicts, changes nothing and learns the winner's record."""
    opened = (yield from perform(s.create())).record
    won = yield from perform(s.rotate(opened))
    late = s.rotate(opened)
    lost = yield from perform(s.elsewhere(late))
    assert won.outcome is Outcome.DONE
    assert (lost.outcome, lost.record) == (Outcome.CONFLICT, won.record)
    assert (yield from perform(s.load(late.token_hash))).refusal == "unknown"
    assert (yield from perform(s.get(opened))) == won.record


@case
def a_token_in_its_grace_never_rotates(s: Stage) -> Steps:
    """A rotation that expects a token which is only in its grace conflicts."""
    opened = (yield from perform(s.create())).record
    yield from perform(s.rotate(opened))
    assert (yield from perform(s.rotate(opened, at=SECOND))).outcome is Outcome.CONFLICT


@case
def rotate_on_a_dead_session_is_refused(s: Stage) -> Steps:
    """`rotate` is refused on an ended session and from the deadline on, and its new token opens nothing."""
    ended = (yield from perform(s.create())).record
    yield from perform(s.end(ended))
    expired = (yield from perform(s.create())).record
    for command in (s.rotate(ended), s.rotate(expired, at=IDLE), s.rotate(expired, at=IDLE + TICK)):
        changed = yield from perform(command)
        assert changed.outcome is Outcome.ENDED
        loaded = yield from perform(s.load(command.token_hash))
        assert (loaded.record, loaded.refusal) == (None, "unknown")
    assert (yield from perform(s.rotate(expired, at=IDLE - TICK))).outcome is Outcome.DONE


@case
def the_former_token_dies_with_the_session(s: Stage) -> Steps:
    """When a session ends, its token and the one in grace are both refused at once."""
    opened = (yield from perform(s.create())).record
    rotated = (yield from perform(s.rotate(opened))).record
    assert rotated is not None
    yield from perform(s.end(rotated, at=SECOND))
    for token in (opened, rotated):
        assert (yield from perform(s.load(token, at=SECOND))).refusal == "ended"


@case
def login_gives_the_owner_and_keeps_the_rest(s: Stage) -> Steps:
    """A rotation with an owner gives the session to that owner and keeps its id, data and version."""
    visitor = (yield from perform(s.create("anonymous-0", data={"cart": [1]}))).record
    rotated = (yield from perform(s.rotate(visitor, owner="ana"))).record
    assert rotated is not None
    assert (rotated.id, rotated.owner, rotated.data, rotated.version) == (visitor.id, "ana", visitor.data, 1)
    assert not rotated.exclusive
    loaded = (yield from perform(s.load(rotated))).record
    assert loaded == rotated
    ended = yield from perform(s.end_owner("ana"))
    assert [record.id for record in ended.records] == [visitor.id]


@case
def login_never_lands_in_the_owners_slot(s: Stage) -> Steps:
    """A session that receives an owner is not the session of that owner's slot, whether the slot is empty or taken."""
    taken = (yield from perform(s.get_or_create("ana"))).record
    visitor = (yield from perform(s.create("anonymous-0"))).record
    yield from perform(s.rotate(visitor, owner="ana"))
    assert (yield from perform(s.get_or_create("ana"))).record == taken
    visitor = (yield from perform(s.create("anonymous-1"))).record
    yield from perform(s.rotate(visitor, owner="bea"))
    assert (yield from perform(s.get_or_create("bea"))).record.id != visitor.id


@case
def login_leaves_the_former_slot(s: Stage) -> Steps:
    """The session of a slot that receives another owner leaves its slot, which is then free for a new session."""
    opened = (yield from perform(s.get_or_create("anonymous-0", external_id="tab"))).record
    rotated = (yield from perform(s.rotate(opened, owner="ana"))).record
    assert rotated is not None
    assert (rotated.owner, rotated.exclusive) == ("ana", False)
    successor = (yield from perform(s.get_or_create("anonymous-0", external_id="tab"))).record
    assert successor.id != opened.id
    assert successor.generation > opened.generation
    assert (yield from perform(s.load(rotated))).record == rotated


@case
def who_knew_a_visitor_saves_nothing_after_its_login(s: Stage) -> Steps:
    """A save of a session that is known as a visitor's is refused from its login on, and does not even read it."""
    visitor = (yield from perform(s.create(s.mint.anonymous_owner()))).record
    before = evolve(s.save(visitor, {"n": 1}), meant=visitor)
    assert (yield from perform(before)).outcome is Outcome.DONE
    rotated = (yield from perform(s.rotate(visitor, owner="ana"))).record
    assert rotated is not None
    for changes, version in (({"n": 2}, None), ({"n": 2}, rotated.version), ({"n": 2}, 99), ({}, None)):
        refused = yield from perform(evolve(s.save(visitor, changes, expected_version=version), meant=visitor))
        assert (refused.outcome, refused.record) == (Outcome.ENDED, rotated)
    # What was done before the login was done.
    assert (yield from perform(s.elsewhere(before))).outcome is Outcome.DONE
    assert (yield from perform(s.get(visitor))) == rotated
    assert (yield from perform(evolve(s.save(rotated, {"n": 3}), meant=rotated))).outcome is Outcome.DONE


@case
def who_knew_a_visitor_touches_nothing_after_its_login(s: Stage) -> Steps:
    """A touch of a session that is known as a visitor's extends it until its login, and not from then on."""
    visitor = (yield from perform(s.create(s.mint.anonymous_owner()))).record
    assert (yield from perform(evolve(s.touch(visitor), meant=visitor))).outcome is Outcome.DONE
    rotated = (yield from perform(s.rotate(visitor, owner="ana"))).record
    refused = yield from perform(evolve(s.touch(visitor, at=SECOND), meant=visitor))
    assert (refused.outcome, refused.record) == (Outcome.ENDED, rotated)
    assert (yield from perform(s.get(visitor))) == rotated


@case
def who_knew_a_visitor_ends_nothing_after_its_login(s: Stage) -> Steps:
    """An end of a session that is known as a visitor's is refused from its login on, and done before it."""
    visitor = (yield from perform(s.create(s.mint.anonymous_owner(), data={"n": 1}))).record
    rotated = (yield from perform(s.rotate(visitor, owner="ana"))).record
    assert rotated is not None
    refused = yield from perform(evolve(s.end(visitor), meant=visitor))
    assert (refused.outcome, refused.record) == (Outcome.ENDED, rotated)
    assert (yield from perform(s.load(rotated))).record == rotated
    other = (yield from perform(s.create(s.mint.anonymous_owner()))).record
    for known in (rotated, other):
        assert (yield from perform(evolve(s.end(known), meant=known))).outcome is Outcome.DONE
