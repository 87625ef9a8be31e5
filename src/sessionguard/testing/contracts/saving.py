"""Saving fields: what survives, what conflicts, what is refused."""

from sessionguard.core.data import decode
from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, SECOND, TICK, Stage


@case
def save_replaces_whole_fields(s: Stage) -> Steps:
    """`save` replaces the fields it names, whole, and leaves every other field as it is stored."""
    opened = (yield from perform(s.create(data={"a": {"x": 1, "y": 2}, "b": 1}))).record
    saved = yield from perform(s.save(opened, {"a": {"x": 3}, "c": None}))
    assert saved.outcome is Outcome.DONE
    assert saved.record is not None
    assert decode(saved.record.data) == {"a": {"x": 3}, "b": 1, "c": None}
    assert saved.record.version == opened.version + 1
    assert (yield from perform(s.get(opened))) == saved.record


@case
def save_removes_fields(s: Stage) -> Steps:
    """`save` removes the fields to be removed; one that is not there is no error; `None` is a value, not a removal."""
    opened = (yield from perform(s.create(data={"a": 1, "b": 2, "c": 3}))).record
    saved = (yield from perform(s.save(opened, {"a": None}, remove=("b", "missing")))).record
    assert saved is not None
    assert decode(saved.data) == {"a": None, "c": 3}
    assert saved.version == opened.version + 1


@case
def saves_from_stale_records_merge(s: Stage) -> Steps:
    """Two saves of different fields, both based on the first version, both survive, through any connection."""
    opened = (yield from perform(s.create(data={"kept": 0}))).record
    yield from perform(s.save(opened, {"a": 1}))
    yield from perform(s.elsewhere(s.save(opened, {"b": 2})))
    stored = yield from perform(s.get(opened))
    assert stored is not None
    assert decode(stored.data) == {"kept": 0, "a": 1, "b": 2}
    assert stored.version == 3


@case
def an_expected_version_must_match(s: Stage) -> Steps:
    """With an expected version `save` is done only if that is the stored one, else it conflicts and changes nothing."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    first = yield from perform(s.save(opened, {"n": 1}, expected_version=1))
    assert first.outcome is Outcome.DONE
    for wrong in (1, 3, 0):
        refused = yield from perform(s.save(opened, {"n": 9}, expected_version=wrong))
        assert refused.outcome is Outcome.CONFLICT, wrong
        assert refused.record == first.record, wrong
    assert (yield from perform(s.get(opened))) == first.record


@case
def a_save_without_changes_writes_nothing(s: Stage) -> Steps:
    """A save that names no field is done, returns the stored session and adds no version; it still conflicts."""
    opened = (yield from perform(s.create(data={"n": 1}))).record
    saved = yield from perform(s.save(opened))
    assert (saved.outcome, saved.record) == (Outcome.DONE, opened)
    assert (yield from perform(s.save(opened, expected_version=2))).outcome is Outcome.CONFLICT
    yield from perform(s.end(opened))
    assert (yield from perform(s.save(opened))).outcome is Outcome.ENDED


@case
def save_does_not_extend(s: Stage) -> Steps:
    """`save` moves neither the last seen instant nor the deadline."""
    opened = (yield from perform(s.create())).record
    saved = (yield from perform(s.save(opened, {"n": 1}, at=IDLE - TICK))).record
    assert saved is not None
    assert (saved.last_seen_us, saved.expires_us) == (opened.last_seen_us, opened.expires_us)
    assert (yield from perform(s.load(opened, at=IDLE))).refusal == "expired"


@case
def a_late_save_never_resurrects(s: Stage) -> Steps:
    """A save after the end is refused as ended and changes nothing: token dead, slot empty, data gone."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    ended = (yield from perform(s.end(opened, at=SECOND))).record
    for late in (s.save(opened, {"n": 2}, at=SECOND), s.save(opened, {"n": 2}, expected_version=1, at=SECOND)):
        saved = yield from perform(late)
        assert (saved.outcome, saved.record) == (Outcome.ENDED, ended)
    assert (yield from perform(s.get(opened, at=SECOND))) == ended
    assert (yield from perform(s.load(opened, at=SECOND))).refusal == "ended"
    assert (yield from perform(s.get_or_create("ana", at=SECOND))).record.id != opened.id


@case
def a_save_after_expiry_is_refused(s: Stage) -> Steps:
    """A save is done a tick before the deadline and refused at it, though nobody has swept yet; nothing is written."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    assert (yield from perform(s.save(opened, {"n": 1}, at=IDLE - TICK))).outcome is Outcome.DONE
    for at in (IDLE, IDLE + TICK):
        refused = yield from perform(s.save(opened, {"n": 2}, at=at))
        assert refused.outcome is Outcome.ENDED, at
        assert refused.record is not None
        assert refused.record.reason == "expired", at
    stored = yield from perform(s.get(opened, at=IDLE - TICK))
    assert stored is not None
    assert (decode(stored.data), stored.version) == ({"n": 1}, 2)


@case
def a_save_of_a_replaced_session_is_refused(s: Stage) -> Steps:
    """A save of a session that was replaced is refused and does not reach its successor."""
    opened = (yield from perform(s.get_or_create("ana"))).record
    successor = (yield from perform(s.replace("ana"))).record
    assert (yield from perform(s.save(opened, {"n": 1}))).outcome is Outcome.ENDED
    assert (yield from perform(s.get(successor))) == successor


@case
def data_over_the_limit_is_refused(s: Stage) -> Steps:
    """Data over its limit in bytes is refused with its size, and the stored data stays; the limit itself fits."""
    opened = (yield from perform(s.create(data={"a": 1}))).record
    text = "ä" * 20
    size = len('{"a":1,"t":""}') + len(text.encode())
    refused = yield from perform(s.save(opened, {"t": text}, limit_bytes=size - 1))
    assert (refused.outcome, refused.record) == (Outcome.TOO_LARGE, opened)
    assert refused.size_bytes == size
    assert (yield from perform(s.get(opened))) == opened
    assert (yield from perform(s.save(opened, {"t": text}, limit_bytes=size))).outcome is Outcome.DONE


@case
def a_save_touches_no_sibling(s: Stage) -> Steps:
    """Saving one session changes no other session of the same owner, slot neighbours included."""
    siblings = []
    for external_id in (None, "a", "b"):
        siblings.append((yield from perform(s.get_or_create("ana", external_id=external_id, data={"n": 0}))).record)
    target = (yield from perform(s.create("ana", data={"n": 0}))).record
    yield from perform(s.save(target, {"n": 1}))
    for sibling in siblings:
        assert (yield from perform(s.get(sibling))) == sibling


@case
def many_fields_and_odd_names_are_kept(s: Stage) -> Steps:
    """Field names with quotes, dots, brackets, dollar signs, blanks and letters of any script are names, not paths."""
    names = [
        '"',
        "'",
        "a.b",
        "a",
        "$",
        "$.a",
        "[0]",
        "a[0]",
        "#",
        "\\",
        " ",
        "é",
        "e\u0301",
        "日本",
        "🦊",
        "%",
        "__proto__",
    ]
    opened = (yield from perform(s.create(data={"a": {"b": 1}}))).record
    for position, name in enumerate(names):
        yield from perform(s.save(opened, {name: position}))
    stored = yield from perform(s.get(opened))
    assert stored is not None
    assert decode(stored.data) == {name: position for position, name in enumerate(names)}
    yield from perform(s.save(opened, remove=tuple(names[1:])))
    stored = yield from perform(s.get(opened))
    assert stored is not None
    assert decode(stored.data) == {names[0]: 0}
