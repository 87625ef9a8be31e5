"""Identity: names that look alike are not alike, ids are never used twice, one store has one deployment id."""

import re
import unicodedata
from typing import Final

from sessionguard.core.commands import Identify
from sessionguard.core.driving import perform
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import SECOND, Stage

LOOK_ALIKE_OWNERS: Final = (
    "ana", "Ana", "ANA", "ana1", "an", "ana.", "ana%", "an_", "a*", "ana?", "[ana]",
    "jose\u0301", unicodedata.normalize("NFC", "jose\u0301"),
    "\u212aelvin", "Kelvin", "kelvin", "straße", "strasse", "STRASSE", "ſ", "s", "ﬁ", "fi",
    "ı", "i", "İ", "а", "a", "1", "01", "1.0", "１", "²", "2",
    "a:b", "a::b", "a|b", "a/b", "a\\b", "a b", "a  b", "a\u00a0b", "a\u200bb", "ab", "a\u00adb",
    "a,b", "a'b", 'a"b', "a;b", "a--b", "a&b", "a=b", "a#b", "a{b}", "{a}b", "$a", "a\u202eb",
    "🦊", "🦊\ufe0f", "👩‍👧", "👩👧", "true", "0", "-1", "root", "x" * 512, "x" * 511, "é" * 256,
)  # fmt: skip
"""Owners that a careless comparison, folding or joining takes for each other. All are valid and distinct."""

COLLIDING_SLOTS: Final = (
    ("a:b", "c", None), ("a", "b:c", None), ("a", "b", "c"), ("a:b:c", "d", None), ("a", "b:c:d", None),
    ("a|b", "c", None), ("a", "b|c", None), ("a/b", "c", None), ("a", "b/c", None),
    ("a b", "c", None), ("a", "b c", None), ("1:a", "b", None), ("1", "a:b", None),
    ("a", "b", None), ("a", "bc", None), ("ab", "c", None), ("a", "b", "None"), ("a", "b", "-"),
    ("3:a:b", "c", None), ("a,b", "c", None), ("a", "b,c", None),
)  # fmt: skip
"""Slots that come out the same when scope, owner and external id are joined without their lengths."""

_DEPLOYMENT_ID: Final = re.compile(r"[0-9a-f]{32}")


@case
def owners_that_look_alike_are_distinct(s: Stage) -> Steps:
    """Owners that differ in case, normal form, script, separators or length have sessions of their own."""
    opened = {}
    for owner in LOOK_ALIKE_OWNERS:
        record = (yield from perform(s.get_or_create(owner, data={"owner": owner}))).record
        assert record.owner == owner
        opened[owner] = record
    assert len({record.id for record in opened.values()}) == len(set(LOOK_ALIKE_OWNERS)) == len(LOOK_ALIKE_OWNERS)
    for owner, record in opened.items():
        assert (yield from perform(s.get_or_create(owner))).record == record, owner
        assert (yield from perform(s.load(record))).record == record, owner


@case
def slots_are_never_joined(s: Stage) -> Steps:
    """Slots whose parts, joined with any separator, would read the same are different slots."""
    ids = []
    for scope, owner, external_id in COLLIDING_SLOTS:
        opened = yield from perform(s.get_or_create(owner, scope=scope, external_id=external_id))
        assert (opened.record.scope, opened.record.owner, opened.record.external_id) == (scope, owner, external_id)
        ids.append(opened.record.id)
    assert len(set(ids)) == len(COLLIDING_SLOTS)


@case
def ending_an_owner_spares_the_look_alikes(s: Stage) -> Steps:
    """`end_owner` ends the sessions of exactly the owner it names, not of one who looks alike."""
    opened = {}
    for owner in LOOK_ALIKE_OWNERS:
        opened[owner] = (yield from perform(s.get_or_create(owner))).record
    for owner in LOOK_ALIKE_OWNERS[::3]:
        ended = yield from perform(s.end_owner(owner))
        assert [record.id for record in ended.records] == [opened.pop(owner).id], owner
    for owner, record in opened.items():
        assert (yield from perform(s.load(record))).record == record, owner


@case(needs="listing")
def listing_an_owner_spares_the_look_alikes(s: Stage) -> Steps:
    """A list of one owner's sessions holds none of an owner who looks alike."""
    opened = {}
    for owner in LOOK_ALIKE_OWNERS:
        opened[owner] = (yield from perform(s.create(owner))).record
    for owner, record in opened.items():
        assert (yield from perform(s.page(owner=owner))).records == (record,), owner


@case
def scopes_that_look_alike_are_distinct(s: Stage) -> Steps:
    """Scopes that differ in case, normal form, script, separators or length keep their owners' sessions apart."""
    scopes = LOOK_ALIKE_OWNERS[:40]
    opened = {}
    for scope in scopes:
        opened[scope] = (yield from perform(s.get_or_create("ana", scope=scope))).record
    assert len({record.id for record in opened.values()}) == len(scopes)
    for scope, record in opened.items():
        assert (yield from perform(s.load(record, scope=scope))).record == record, scope


@case
def ids_are_never_reused(s: Stage) -> Steps:
    """Neither an end nor another opening makes an id name another session: it keeps naming the one it was made for."""
    new = s.new("ana", data={"n": 1})
    opened = (yield from perform(s.create(new))).record
    ended = (yield from perform(s.end(opened))).record
    yield from perform(s.create("ana", at=SECOND))
    yield from perform(s.replace("ana", at=SECOND))
    assert (yield from perform(s.get(new, at=SECOND))) == ended
    yield from perform(s.create(new, at=SECOND))
    assert (yield from perform(s.get(new, at=SECOND))) == ended
    assert (yield from perform(s.load(new, at=SECOND))).refusal == "ended"


@case
def a_store_has_one_deployment_id(s: Stage) -> Steps:
    """Every connection, asked at any time, gives the same deployment id of 32 hexadecimal digits."""
    first = yield from perform(Identify())
    assert _DEPLOYMENT_ID.fullmatch(first)
    assert first == s.deployment_id
    yield from perform(s.create())
    assert (yield from perform(Identify())) == first
    assert (yield from perform(s.elsewhere(Identify()))) == first
