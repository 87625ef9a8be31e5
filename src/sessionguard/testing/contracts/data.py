"""Data: what goes in comes out as JSON says, on every store alike, and shares memory with nobody."""

import json
from typing import Any, Final

from sessionguard.core.data import decode
from sessionguard.core.driving import perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import LIMIT_BYTES, Stage

JSON_VALUES: Final[dict[str, Any]] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -1,
    "big integer": 2**53 + 1,
    "bigger integer": 2**64 + 1,
    "huge integer": 10**30,
    "float": 0.1,
    "whole float": 1.0,
    "tiny float": 5e-324,
    "large float": 1.7976931348623157e308,
    "empty text": "",
    "blank": " ",
    "quotes": "\"'`\\",
    "control characters": "\t\n\r\x01\x1f\x7f",
    "separators of JavaScript": "\u2028\u2029",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "emoji": "👩‍👩‍👧 🦊",
    "right to left": "\u202eabc",
    "beyond the basic plane": "\U0010fffd",
    "looks like JSON": '{"a":1}',
    "looks like a number": "1e5",
    "empty list": [],
    "empty object": {},
    "list of everything": [None, True, 1, 1.5, "x", [], {}],
    "object": {"b": 1, "a": {"": None}},
    "nested": [[[[[{"deep": [1]}]]]]],
}
"""Value by a name for the report. The same table serves anyone who wants to compare stores."""


def _same(left: object, right: object) -> bool:
    # True == 1 == 1.0 in Python, but not in JSON.
    return left == right and json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@case
def json_values_survive_opening(s: Stage) -> Steps:
    """Every JSON value that a session is opened with is read back as the same value of the same type."""
    opened = (yield from perform(s.create(data=JSON_VALUES))).record
    stored = yield from perform(s.get(opened))
    assert stored is not None
    for data in (decode(opened.data), decode(stored.data)):
        assert data.keys() == JSON_VALUES.keys()
        wrong = [name for name, value in JSON_VALUES.items() if not _same(data[name], value)]
        assert wrong == []


@case
def json_values_survive_saving(s: Stage) -> Steps:
    """Every JSON value that is saved is read back as the same value of the same type, and disturbs no other field."""
    opened = (yield from perform(s.create(data={"other": {"x": 1.0}}))).record
    for name, value in JSON_VALUES.items():
        saved = (yield from perform(s.save(opened, {"field": value}))).record
        assert saved is not None
        stored = yield from perform(s.get(opened))
        assert stored is not None
        assert _same(decode(stored.data), {"other": {"x": 1.0}, "field": value}), name
        assert saved == stored, name


@case
def a_tuple_comes_back_as_a_list(s: Stage) -> Steps:
    """What JSON has no word for comes back as what JSON makes of it: a tuple as a list, everywhere alike."""
    opened = (yield from perform(s.create(data={"t": (1, (2, 3))}))).record
    yield from perform(s.save(opened, {"u": {"v": (4,)}}))
    stored = yield from perform(s.get(opened))
    assert stored is not None
    assert decode(stored.data) == {"t": [1, [2, 3]], "u": {"v": [4]}}


@case
def nothing_returned_shares_memory_with_the_store(s: Stage) -> Steps:
    """Changing what one reader made of the data changes nothing for the next reader, nor for another session."""
    data = {"list": [1], "object": {"a": 1}}
    ana = (yield from perform(s.create("ana", data=data))).record
    bea = (yield from perform(s.create("bea", data=data))).record
    for reply in (ana, (yield from perform(s.load(ana))).record, (yield from perform(s.get(ana)))):
        assert reply is not None
        assert type(reply.data) is str
        mine = decode(reply.data)
        mine["list"].append("mine")
        mine["object"]["a"] = "mine"
    data["list"].append("mine")  # type: ignore[attr-defined]
    for record in (ana, bea):
        stored = yield from perform(s.get(record))
        assert stored is not None
        assert decode(stored.data) == {"list": [1], "object": {"a": 1}}


@case
def commands_can_be_changed_after_use(s: Stage) -> Steps:
    """A store keeps no reference to the changes of a save: reusing their mapping changes nothing that is stored."""
    opened = (yield from perform(s.create())).record
    command = s.save(opened, {"n": 1})
    yield from perform(command)
    assert isinstance(command.changes, dict)
    command.changes["n"] = "2"
    command.changes["m"] = "3"
    stored = yield from perform(s.get(opened))
    assert stored is not None
    assert decode(stored.data) == {"n": 1}


@case
def large_data_is_kept(s: Stage) -> Steps:
    """Data just under the limit is opened with, read and saved whole."""
    text = "ü" * (LIMIT_BYTES // 2 - 50)
    opened = (yield from perform(s.create(data={"text": text}))).record
    saved = yield from perform(s.save(opened, {"n": 1}))
    assert saved.outcome is Outcome.DONE
    stored = yield from perform(s.get(opened))
    assert stored is not None
    assert decode(stored.data) == {"text": text, "n": 1}


@case
def many_fields_are_saved_in_one_step(s: Stage) -> Steps:
    """A save of hundreds of fields, replacing and removing at once, is one version."""
    opened = (yield from perform(s.create(data={f"old-{n}": n for n in range(300)}))).record
    changes = {f"new-{n}": [n] for n in range(300)}
    saved = yield from perform(s.save(opened, changes, remove=tuple(f"old-{n}" for n in range(300))))
    assert saved.record is not None
    assert saved.record.version == 2
    assert decode(saved.record.data) == changes
