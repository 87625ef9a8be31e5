"""Repeating a command after a lost reply: one effect, and the answer of the first time."""

from attrs import evolve

from sessionguard.core.commands import Changed
from sessionguard.core.data import decode
from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import REMEMBERED_OPERATIONS
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, LIFETIME, SECOND, START, Stage


def _assert_same(first: Changed, again: Changed) -> None:
    assert (again.outcome, again.record) == (first.outcome, first.record)


@case
def repeated_create_is_one_session(s: Stage) -> Steps:
    """The same `create` twice opens one session and answers the same."""
    command = s.create("ana", data={"n": 1})
    first = yield from perform(command)
    assert (yield from perform(s.elsewhere(command))) == first
    assert len((yield from perform(s.end_owner("ana"))).records) == 1


@case
def repeated_get_or_create_is_one_session(s: Stage) -> Steps:
    """The same `get_or_create` twice opens one session, and both answers show the token hash that was sent."""
    command = s.get_or_create("ana", data={"n": 1})
    first = yield from perform(command)
    assert (yield from perform(s.elsewhere(command))) == first
    assert first.record.token_hash == command.new.token_hash
    assert len((yield from perform(s.end_owner("ana"))).records) == 1


@case
def repeated_get_or_create_touches_nothing(s: Stage) -> Steps:
    """The same `get_or_create` twice answers the same also where every use is a touch; another one touches."""
    always = evolve(LIFETIME, touch_us=0)
    command = s.get_or_create("ana", lifetime=always)
    first = yield from perform(command)
    for again in (command, s.elsewhere(command)):
        assert (yield from perform(again)) == first
    other = yield from perform(s.get_or_create("ana", lifetime=always))
    assert (other.record.id, other.touched) == (first.record.id, True)


@case
def repeated_get_or_create_names_whom_it_ended(s: Stage) -> Steps:
    """The same `get_or_create` twice names the expired session that it ended both times, and touches nothing."""
    former = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    command = s.get_or_create("ana", at=IDLE)
    first = yield from perform(command)
    assert [(record.id, record.reason) for record in first.ended] == [(former.id, "expired")]
    assert (yield from perform(s.elsewhere(command))) == first
    saved = (yield from perform(s.save(first.record, {"n": 2}, at=IDLE))).record
    again = yield from perform(command)
    assert (again.record, again.ended, again.touched) == (saved, first.ended, False)


@case
def repeated_replace_ends_once(s: Stage) -> Steps:
    """The same `replace` twice ends one former session, names it both times, and leaves its own active."""
    former = (yield from perform(s.get_or_create("ana"))).record
    command = s.replace("ana")
    first = yield from perform(command)
    again = yield from perform(s.elsewhere(command))
    assert again == first
    assert again.record.reason is None
    assert [(record.id, record.reason) for record in again.ended] == [(former.id, "replaced")]
    assert (yield from perform(s.load(command.new))).record == first.record
    assert (yield from perform(s.get_or_create("ana"))).record == first.record


@case
def repeated_replace_names_whom_it_ended_and_no_other(s: Stage) -> Steps:
    """A `replace` that is repeated after its own session was replaced names the one that it ended itself, once."""
    former = (yield from perform(s.replace("ana"))).record
    command = s.replace("ana")
    first = yield from perform(command)
    own = (yield from perform(s.replace("ana", at=SECOND))).ended
    again = yield from perform(command)
    assert ((again.record,), again.ended) == (own, first.ended)
    assert [record.id for record in again.ended] == [former.id]


@case
def repeated_opening_leaves_out_who_was_purged(s: Stage) -> Steps:
    """An opening command that is repeated after the session it ended was purged still gives its own session."""
    yield from perform(s.replace("ana"))
    command = s.replace("ana")
    first = yield from perform(command)
    yield from perform(s.purge(START, at=SECOND))
    again = yield from perform(command)
    assert (again.record, again.ended) == (first.record, ())


@case
def repeated_opening_never_reopens(s: Stage) -> Steps:
    """An opening command that is repeated after its session has ended brings nothing back: that id stays ended."""
    for command in (s.create("ana"), s.get_or_create("bea"), s.replace("cy")):
        opened = (yield from perform(command)).record
        ended = (yield from perform(s.end(opened, at=SECOND))).record
        yield from perform(command)
        assert (yield from perform(s.get(opened, at=SECOND))) == ended, command.verb
        assert (yield from perform(s.load(opened, at=SECOND))).record is None, command.verb


@case
def repeated_opening_spares_the_successor(s: Stage) -> Steps:
    """A `replace` or `get_or_create` that is repeated after another session took the slot leaves that one active."""
    for command in (s.get_or_create("ana"), s.replace("bea")):
        owner = command.new.owner
        yield from perform(command)
        successor = (yield from perform(s.replace(owner, at=SECOND))).record
        yield from perform(command)
        assert (yield from perform(s.load(successor, at=SECOND))).record == successor, command.verb
        assert (yield from perform(s.get_or_create(owner, at=SECOND))).record == successor, command.verb


@case
def repeated_save_counts_once(s: Stage) -> Steps:
    """The same save twice adds one version and answers the same, with and without an expected version."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    for expected, version in ((None, 2), (2, 3)):
        command = s.save(opened, {"n": version}, remove=("gone",), expected_version=expected)
        first = yield from perform(command)
        _assert_same(first, (yield from perform(s.elsewhere(command))))
        stored = yield from perform(s.get(opened))
        assert stored is not None
        assert (stored.version, decode(stored.data)) == (version, {"n": version})


@case
def repeated_save_overwrites_nothing_newer(s: Stage) -> Steps:
    """A save that is repeated after others' saves is done, as it was, and what they wrote stays."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    command = s.save(opened, {"n": 1}, expected_version=1)
    yield from perform(command)
    for number in (2, 3, 4):
        yield from perform(s.elsewhere(s.save(opened, {"n": number})))
    again = yield from perform(command)
    assert again.outcome is Outcome.DONE
    stored = yield from perform(s.get(opened))
    assert stored is not None
    assert (stored.version, decode(stored.data)) == (5, {"n": 4})


@case
def repeated_save_is_known_after_many_others(s: Stage) -> Steps:
    """A save is known again after as many other saves of the session as a store has to remember, less one."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    command = s.save(opened, {"n": 1})
    yield from perform(command)
    for number in range(1, REMEMBERED_OPERATIONS):
        yield from perform(s.elsewhere(s.save(opened, {"other": number})))
    again = yield from perform(command)
    assert again.outcome is Outcome.DONE
    stored = yield from perform(s.get(opened))
    assert stored is not None
    assert again.record == stored
    assert (stored.version, decode(stored.data)) == (REMEMBERED_OPERATIONS + 1, {"n": 1, "other": number})


@case
def repeated_save_after_the_end_changes_nothing(s: Stage) -> Steps:
    """A save that is repeated after the session has ended is done, as it was, and changes nothing."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    command = s.save(opened, {"n": 1})
    yield from perform(command)
    ended = (yield from perform(s.end(opened))).record
    again = yield from perform(command)
    assert (again.outcome, again.record) == (Outcome.DONE, ended)
    assert (yield from perform(s.get(opened))) == ended


@case
def repeated_touch_extends_once(s: Stage) -> Steps:
    """The same touch twice extends once, also when a later touch came between."""
    opened = (yield from perform(s.create())).record
    command = s.touch(opened, at=SECOND)
    first = yield from perform(command)
    _assert_same(first, (yield from perform(s.elsewhere(command))))
    later = (yield from perform(s.touch(opened, at=2 * SECOND))).record
    assert (yield from perform(command)).outcome is Outcome.DONE
    assert (yield from perform(s.get(opened, at=2 * SECOND))) == later


@case
def repeated_rotate_is_one_rotation(s: Stage) -> Steps:
    """The same rotation twice gives one new token and answers the same: the caller who lost the reply still gets it."""
    opened = (yield from perform(s.create())).record
    command = s.rotate(opened, owner="ana")
    first = yield from perform(command)
    _assert_same(first, (yield from perform(s.elsewhere(command))))
    assert (yield from perform(s.load(command.token_hash))).record == first.record
    assert (yield from perform(s.load(opened))).record == first.record


@case
def repeated_rotate_undoes_no_other(s: Stage) -> Steps:
    """A rotation that is repeated after another one leaves the other's token the current one."""
    opened = (yield from perform(s.create())).record
    command = s.rotate(opened)
    rotated = (yield from perform(command)).record
    assert rotated is not None
    latest = (yield from perform(s.rotate(rotated))).record
    yield from perform(command)
    assert (yield from perform(s.get(opened))) == latest


@case
def repeated_rotate_survives_a_save_between(s: Stage) -> Steps:
    """A rotation that is repeated after a save is done, as it was, and the save stays."""
    opened = (yield from perform(s.create())).record
    command = s.rotate(opened)
    yield from perform(command)
    saved = (yield from perform(s.elsewhere(s.save(opened, {"n": 1})))).record
    again = yield from perform(command)
    assert (again.outcome, again.record) == (Outcome.DONE, saved)


@case
def repeated_end_is_one_end(s: Stage) -> Steps:
    """The same end twice is done both times with the same record, so the caller still learns what it ended."""
    opened = (yield from perform(s.get_or_create("ana"))).record
    yield from perform(s.save(opened, {"n": 1}))
    command = s.end(opened, at=SECOND)
    first = yield from perform(command)
    assert first.outcome is Outcome.DONE
    _assert_same(first, (yield from perform(s.elsewhere(command))))
    other = yield from perform(s.end(opened, "escalated", at=SECOND))
    assert other.outcome is Outcome.ENDED
    _assert_same(first, (yield from perform(command)))


@case
def repeated_end_spares_the_successor(s: Stage) -> Steps:
    """An end that is repeated after the slot has opened again leaves the new session active."""
    opened = (yield from perform(s.get_or_create("ana"))).record
    command = s.end(opened)
    yield from perform(command)
    successor = (yield from perform(s.get_or_create("ana", at=SECOND))).record
    assert (yield from perform(command)).outcome is Outcome.DONE
    assert (yield from perform(s.load(successor, at=SECOND))).record == successor
