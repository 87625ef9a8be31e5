"""Listing page by page: who is listed, in which order, and what a list under change still promises."""

from collections.abc import Generator
from typing import Any

from sessionguard.core.commands import Command, Status
from sessionguard.core.driving import perform
from sessionguard.core.records import SessionRecord
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import IDLE, SECOND, START, TICK, Stage

_MANY_PAGES = 50


def _all(
    s: Stage,
    limit: int = 3,
    *,
    owner: str | None = None,
    scope: str | None = None,
    status: Status | None = "active",
    at: Any = START,
) -> Generator[Command[Any], Any, list[SessionRecord]]:
    found: list[SessionRecord] = []
    cursor = None
    for _ in range(_MANY_PAGES):
        page = yield from perform(s.page(owner=owner, scope=scope, status=status, limit=limit, cursor=cursor, at=at))
        assert len(page.records) <= limit
        found.extend(page.records)
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError(f"the list does not end: {len(found)} records so far")


@case(needs="listing")
def the_list_of_one_owner_is_newest_first(s: Stage) -> Steps:
    """The sessions of one owner are listed newest first, page after page, each once, and only theirs."""
    opened = []
    for number in range(7):
        opened.append((yield from perform(s.create("ana", at=number * SECOND))).record)
        yield from perform(s.create("bea", at=number * SECOND))
    listed = yield from _all(s, 2, owner="ana", at=10 * SECOND)
    assert listed == opened[::-1]


@case(needs="listing")
def the_list_filters_by_scope_and_owner(s: Stage) -> Steps:
    """A list of a scope, of an owner or of both holds exactly the sessions that match, compared as they are."""
    for scope, owner in (("desk", "ana"), ("desk", "bea"), ("shop", "ana"), ("Desk", "ana"), ("desk", "Ana")):
        yield from perform(s.create(owner, scope=scope))
    assert len((yield from _all(s))) == 5
    assert len((yield from _all(s, scope="desk"))) == 3
    assert len((yield from _all(s, owner="ana"))) == 3
    both = yield from _all(s, scope="desk", owner="ana")
    assert [(record.scope, record.owner) for record in both] == [("desk", "ana")]
    for owner in ("an%", "*", "a_a", "nobody"):
        assert (yield from _all(s, owner=owner)) == [], owner


@case(needs="listing")
def active_means_what_load_would_accept(s: Stage) -> Steps:
    """Active lists what would load now, ended all the rest with their reasons, swept or not; None lists both."""
    active = (yield from perform(s.create("ana", at=SECOND))).record
    ended = (yield from perform(s.create("ana", at=SECOND))).record
    expired = (yield from perform(s.create("ana", at=START))).record
    yield from perform(s.end(ended, at=SECOND))
    at = IDLE + SECOND - TICK
    assert [record.id for record in (yield from _all(s, owner="ana", at=at))] == [active.id]
    over = yield from _all(s, owner="ana", status="ended", at=at)
    assert {(record.id, record.reason) for record in over} == {(ended.id, "revoked"), (expired.id, "expired")}
    everything = yield from _all(s, owner="ana", status=None, at=at)
    assert {record.id for record in everything} == {active.id, ended.id, expired.id}


@case(needs="listing")
def sessions_of_one_instant_are_each_listed_once(s: Stage) -> Steps:
    """Sessions that were opened at the same instant are each listed once, however small the pages."""
    opened = set()
    for number in range(9):
        opened.add((yield from perform(s.create(f"owner-{number % 2}"))).record.id)
    for limit in (1, 2, 4, 100):
        listed = [record.id for record in (yield from _all(s, limit))]
        assert len(listed) == len(set(listed)), limit
        assert set(listed) == opened, limit


@case(needs="listing")
def a_list_under_change_shows_who_stayed_exactly_once(s: Stage) -> Steps:
    """While others open and end between the pages, every session present all the while is listed exactly once."""
    staying, leaving = [], []
    for number in range(8):
        keep = (yield from perform(s.create(f"owner-{number}", at=number * SECOND))).record
        staying.append(keep.id)
        leaving.append((yield from perform(s.create("leaver", at=number * SECOND))).record)
    at = 20 * SECOND
    listed: list[str] = []
    cursor = None
    for turn in range(_MANY_PAGES):
        page = yield from perform(s.page(limit=2, cursor=cursor, at=at))
        listed.extend(record.id for record in page.records)
        cursor = page.cursor
        if cursor is None:
            break
        yield from perform(s.create("newcomer", at=at + turn * TICK))
        if leaving:
            yield from perform(s.end(leaving.pop(turn % len(leaving)), at=at))
    assert cursor is None
    assert len(listed) == len(set(listed))
    assert set(staying) <= set(listed)


@case(needs="listing")
def a_list_writes_nothing(s: Stage) -> Steps:
    """Listing changes no record: an expired session that was listed is still to be swept, and is reported then."""
    opened = (yield from perform(s.create("ana"))).record
    yield from _all(s, status=None, at=IDLE)
    assert (yield from perform(s.get(opened))) == opened
    assert [record.id for record in (yield from perform(s.sweep(at=IDLE))).records] == [opened.id]


@case(needs="listing")
def an_empty_list_is_one_empty_page(s: Stage) -> Steps:
    """A list of nothing is one page without records and without a cursor."""
    page = yield from perform(s.page(owner="nobody"))
    assert (page.records, page.cursor) == ((), None)
