"""Opening sessions: `create`, `get_or_create` and `replace`, their slots and their generations."""

from sessionguard.core.data import decode
from sessionguard.core.driving import perform
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import ABSOLUTE, IDLE, SECOND, START, TICK, TOUCH, Stage


@case
def a_new_session_has_exactly_what_was_asked(s: Stage) -> Steps:
    """A new session carries the ids, texts, data and deadlines that were asked for, and nothing else."""
    new = s.new("ana", scope="desk", external_id="tab-1", data={"n": 1})
    record = (yield from perform(s.get_or_create(new))).record
    assert (record.id, record.scope, record.owner, record.external_id) == (new.id, "desk", "ana", "tab-1")
    assert (record.token_hash, record.previous_hash, record.previous_until_us) == (new.token_hash, None, None)
    assert (record.reason, record.ended_us, record.version, record.exclusive) == (None, None, 1, True)
    assert decode(record.data) == {"n": 1}
    assert record.created_us == record.last_seen_us == s.us(START)
    assert (record.expires_us, record.absolute_us) == (s.us(IDLE), s.us(ABSOLUTE))
    assert record.touch_us == new.lifetime.touch_us


@case
def the_idle_deadline_never_exceeds_the_absolute_one(s: Stage) -> Steps:
    """A session whose idle timeout equals its absolute one expires at that one instant, touched or not."""
    lifetime = s.new().lifetime
    same = type(lifetime)(lifetime.absolute_us, lifetime.absolute_us, lifetime.touch_us, lifetime.retention_us)
    record = (yield from perform(s.create(lifetime=same))).record
    assert record.expires_us == record.absolute_us == s.us(ABSOLUTE)
    touched = (yield from perform(s.touch(record, at=TOUCH))).record
    assert touched is not None
    assert touched.expires_us == s.us(ABSOLUTE)


@case
def create_is_always_new(s: Stage) -> Steps:
    """`create` for the same owner opens another session each time and ends none."""
    first = (yield from perform(s.create("ana", data={"n": 1}))).record
    second = yield from perform(s.create("ana"))
    assert second.record.id != first.id
    assert second.ended == ()
    assert decode(second.record.data) == {}
    assert not first.exclusive
    assert (yield from perform(s.get(first))) == first


@case
def get_or_create_never_finds_a_created_session(s: Stage) -> Steps:
    """A session from `create` belongs to no slot: `get_or_create` for the same names opens one of its own."""
    created = (yield from perform(s.create("ana", external_id="tab"))).record
    opened = (yield from perform(s.get_or_create("ana", external_id="tab"))).record
    assert opened.id != created.id
    assert opened.exclusive
    assert (yield from perform(s.load(created))).record == created


@case
def replace_leaves_created_sessions_alone(s: Stage) -> Steps:
    """`replace` ends only the session of the slot, not one from `create` with the same scope and owner."""
    created = (yield from perform(s.create("ana"))).record
    replaced = yield from perform(s.replace("ana"))
    assert replaced.ended == ()
    assert (yield from perform(s.load(created))).record == created


@case
def get_or_create_finds_the_active_session(s: Stage) -> Steps:
    """The second `get_or_create` of a slot gives the session of the first, ignores its data and writes nothing."""
    first = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    again = yield from perform(s.get_or_create("ana", data={"n": 2}, at=SECOND))
    assert again.record == first
    assert (again.touched, again.ended) == (False, ())
    assert (yield from perform(s.get(first, at=SECOND))) == first


@case
def get_or_create_touches_when_due(s: Stage) -> Steps:
    """`get_or_create` on an existing session extends it once the touch interval has passed, and not a tick before."""
    first = (yield from perform(s.get_or_create("ana"))).record
    early = yield from perform(s.get_or_create("ana", at=TOUCH - TICK))
    assert (early.touched, early.record) == (False, first)
    due = yield from perform(s.get_or_create("ana", at=TOUCH))
    assert due.touched
    assert due.record.id == first.id
    assert (due.record.last_seen_us, due.record.expires_us) == (s.us(TOUCH), s.us(TOUCH + IDLE))
    assert due.record.version == 1
    assert (yield from perform(s.get(first, at=TOUCH))) == due.record


@case
def get_or_create_keeps_the_token(s: Stage) -> Steps:
    """`get_or_create` on an existing session neither stores nor honours the token hash that was sent."""
    first = (yield from perform(s.get_or_create("ana"))).record
    unused = s.new("ana")
    again = (yield from perform(s.get_or_create(unused))).record
    assert again.token_hash == first.token_hash
    loaded = yield from perform(s.load(unused))
    assert (loaded.record, loaded.refusal) == (None, "unknown")
    assert (yield from perform(s.get(unused))) is None


@case
def get_or_create_meets_an_expired_session(s: Stage) -> Steps:
    """An expired session met by `get_or_create` ends `expired` in the same step, is reported, and a new one opens."""
    first = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    opened = yield from perform(s.get_or_create("ana", at=IDLE))
    assert opened.record.id != first.id
    assert decode(opened.record.data) == {}
    assert [(record.id, record.reason, record.ended_us) for record in opened.ended] == [
        (first.id, "expired", first.expires_us)
    ]
    stored = yield from perform(s.get(first, at=IDLE))
    assert stored == opened.ended[0]
    assert opened.record.generation > first.generation


@case
def get_or_create_after_an_end_opens_a_new_session(s: Stage) -> Steps:
    """After the session of a slot has ended, the slot opens a new one with another id and a higher generation."""
    first = (yield from perform(s.get_or_create("ana"))).record
    yield from perform(s.end(first))
    second = yield from perform(s.get_or_create("ana", at=SECOND))
    assert second.record.id != first.id
    assert second.ended == ()
    assert second.record.generation > first.generation
    assert second.record.token_hash != first.token_hash


@case
def replace_returns_the_former_session(s: Stage) -> Steps:
    """`replace` ends the active session of the slot `replaced`, reports it, and copies none of its data."""
    first = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    replaced = yield from perform(s.replace("ana", at=SECOND))
    assert replaced.record.id != first.id
    assert decode(replaced.record.data) == {}
    assert [(record.id, record.reason, record.ended_us) for record in replaced.ended] == [
        (first.id, "replaced", s.us(SECOND))
    ]
    assert replaced.record.generation > first.generation
    assert (yield from perform(s.load(first, at=SECOND))).refusal == "ended"
    assert (yield from perform(s.get_or_create("ana", at=SECOND))).record == replaced.record


@case
def replace_of_an_expired_session_calls_it_expired(s: Stage) -> Steps:
    """`replace` ends a session that had expired before with the reason `expired`, at its deadline."""
    first = (yield from perform(s.get_or_create("ana"))).record
    replaced = yield from perform(s.replace("ana", at=IDLE + SECOND))
    assert [(record.id, record.reason, record.ended_us) for record in replaced.ended] == [
        (first.id, "expired", s.us(IDLE))
    ]


@case
def replace_opens_an_empty_slot(s: Stage) -> Steps:
    """`replace` in an empty slot opens a session there and ends nothing."""
    replaced = yield from perform(s.replace("ana", data={"n": 1}))
    assert replaced.ended == ()
    assert replaced.record.exclusive
    assert (yield from perform(s.get_or_create("ana"))).record == replaced.record


@case
def slots_are_scope_owner_and_external_id(s: Stage) -> Steps:
    """Sessions that differ in scope, owner or external id, also by having none, are in slots of their own."""
    places = [
        ("desk", "ana", None),
        ("desk", "ana", "a"),
        ("desk", "ana", "A"),
        ("desk", "bea", None),
        ("shop", "ana", None),
    ]
    ids = []
    for scope, owner, external_id in places:
        ids.append((yield from perform(s.get_or_create(owner, scope=scope, external_id=external_id))).record.id)
    assert len(set(ids)) == len(places)
    for session_id, (scope, owner, external_id) in zip(ids, places, strict=True):
        found = (yield from perform(s.get_or_create(owner, scope=scope, external_id=external_id))).record
        assert (found.id, found.scope, found.owner, found.external_id) == (session_id, scope, owner, external_id)


@case
def external_ids_never_cross_owners(s: Stage) -> Steps:
    """Two owners who name the same external id get two sessions, and replacing one leaves the other."""
    ana = (yield from perform(s.get_or_create("ana", external_id="42"))).record
    bea = (yield from perform(s.get_or_create("bea", external_id="42"))).record
    assert ana.id != bea.id
    replaced = yield from perform(s.replace("ana", external_id="42"))
    assert [record.id for record in replaced.ended] == [ana.id]
    assert (yield from perform(s.load(bea))).record == bea


@case
def generations_grow_within_a_slot(s: Stage) -> Steps:
    """Every session of a slot has a higher generation than all before it, however the former one ended."""
    seen = [(yield from perform(s.get_or_create("ana"))).record]
    seen.append((yield from perform(s.replace("ana"))).record)
    yield from perform(s.end(seen[-1]))
    seen.append((yield from perform(s.get_or_create("ana"))).record)
    seen.append((yield from perform(s.get_or_create("ana", at=IDLE))).record)
    yield from perform(s.sweep(at=IDLE + IDLE))
    seen.append((yield from perform(s.get_or_create("ana", at=IDLE + IDLE))).record)
    generations = [record.generation for record in seen]
    assert generations == sorted(set(generations))
    assert len({record.id for record in seen}) == len(seen)


@case
def generations_grow_after_a_purge(s: Stage) -> Steps:
    """A slot whose whole history was purged goes on with a higher generation: its numbers are never used twice."""
    first = (yield from perform(s.replace("ana"))).record
    second = (yield from perform(s.replace("ana"))).record
    yield from perform(s.end(second))
    purged = yield from perform(s.purge(START, at=SECOND))
    assert purged.count == 2
    assert (yield from perform(s.get(first, at=SECOND))) is None
    third = (yield from perform(s.get_or_create("ana", at=SECOND))).record
    assert third.generation > second.generation > first.generation


@case
def the_engines_own_clock_serves_when_no_instant_is_given(s: Stage) -> Steps:
    """A command without `at` is judged by the engine's clock: a fresh session has its whole idle time ahead."""
    new = s.new("ana")
    command = s.get_or_create(new)
    opened = (yield from perform(type(command)(new, None, command.operation_id))).record
    assert opened.expires_us - opened.created_us == new.lifetime.idle_us
    assert opened.absolute_us - opened.created_us == new.lifetime.absolute_us
    load = s.load(new)
    loaded = yield from perform(type(load)(load.token_hash, None, None, load.operation_id))
    assert loaded.record == opened
