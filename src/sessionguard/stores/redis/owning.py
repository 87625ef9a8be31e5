"""Procedures about the sessions of one owner: most lie in the owner's home shard, and some elsewhere.

A session that was anonymous and received its owner later stays in the shard that its id names. Before it receives
the owner, that shard is noted in the owner's home shard, for as long as the session is kept; so only such a rotation
takes three round trips. Who finds nothing of the owner in a shard withdraws its note, if that is a day old and was not
renewed. A rotation relies on its note for an hour, by the clock of the session's server, and then makes it anew: so
none is withdrawn between a note and its rotation, as long as the clocks of the servers differ by less than 23 hours.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sessionguard.core import commands as c
from sessionguard.core.paging import from_cursor, newest_first, to_cursor
from sessionguard.core.records import REMEMBERED_US, SessionRecord
from sessionguard.core.tokens import shard_tag
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import replies
from sessionguard.stores.redis.asking import Procedure, Survey, Words
from sessionguard.stores.redis.keys import TAGS, operation
from sessionguard.stores.redis.openings import Home, identify

REMEMBERED_MS: Final = 2 * REMEMBERED_US // 1000
"""By the server's clock, which may run while the one of the commands stands still."""

_NOTE_HOLDS_US: Final = 3_600_000_000
_ATTEMPTS: Final = 3
_NEWEST: Final = 2**53
_PAGE: Final = 100


def rotated(home: Home, command: c.Rotate) -> Procedure[c.Changed]:
    """Replace the token, and give the session its owner if it is to receive one."""
    tag = command.session_id[:2]
    arguments = (
        command.session_id,
        operation(command.operation_id),
        command.expected_hash,
        command.token_hash,
        command.grace_us,
        command.owner or "",
    )
    if command.owner is None or tag == (home_tag := (yield from _home_tag(home, command.owner))):
        return replies.to_changed((yield home.call("rotate", tag, command.at, *arguments, "")))
    holds_until = 0
    for _ in range(_ATTEMPTS):
        # The first time only whether it would be done at all, and for how long the session is kept, is learned.
        reply = yield home.call("rotate", tag, command.at, *arguments, holds_until)
        if reply[2] != b"unannounced":
            return replies.to_changed(reply)
        noted = yield home.call("announce", home_tag, None, command.owner, tag, int(reply[3]))
        holds_until = int(noted[2]) + _NOTE_HOLDS_US
    raise StoreUnavailableError(
        "redis", "rotate", "the clocks of its servers are more than an hour apart; let NTP set them"
    )


def _home_tag(home: Home, owner: str) -> Procedure[str]:
    deployment_id = home.deployment_id or (yield from identify(home))
    return shard_tag(deployment_id, owner)


def owner_ended(home: Home, command: c.EndOwner) -> Procedure[c.Ended]:
    """End the active sessions of an owner: in one step in each shard that has some."""
    tag = yield from _home_tag(home, command.owner)
    arguments = (
        operation(command.operation_id),
        command.owner,
        command.scope or "",
        command.keep_id or "",
        command.reason,
        REMEMBERED_MS,
    )
    reply = yield home.call("end_owner", tag, command.at, *arguments)
    records = replies.to_records(reply)
    notes, in_vain = _notes(reply[3]), []
    for elsewhere in notes:
        reply = yield home.call("end_owner", elsewhere, command.at, *arguments)
        records += replies.to_records(reply)
        if reply[4]:
            in_vain.append(elsewhere)
    yield from _withdraw(home, tag, command.owner, notes, in_vain)
    return c.Ended(tuple(records))


def _notes(shards: list[list[bytes]]) -> dict[str, str]:
    """Give the instant of each shard's note, in the order of the shards; "" if it must not be withdrawn."""
    return dict(sorted((tag.decode("ascii"), noted.decode("ascii")) for tag, noted in shards))


def _withdraw(
    home: Home, home_tag: str, owner: str, notes: Mapping[str, str], in_vain: Iterable[str]
) -> Procedure[None]:
    """Take the shards that were visited in vain off the owner's list, where that loses no session."""
    old = [part for tag in in_vain if notes[tag] for part in (tag, notes[tag])]
    if old:
        yield home.call("withdraw", home_tag, None, owner, *old)


# Listing


def listed(home: Home, command: c.Page) -> Procedure[c.PageOfRecords]:
    """Give one page: newest first for one owner, by id otherwise."""
    if command.owner is not None:
        return (yield from _listed_of_owner(home, command, command.owner))
    records: list[SessionRecord] = []
    after = command.cursor or ""
    for tag in (yield from _filled_shards(home, after[:2])):
        position: str | None = after if after[:2] == tag else ""
        while position is not None and len(records) <= command.limit:
            reply = yield home.call("page", tag, command.at, position, _PAGE, command.scope or "", command.status or "")
            records += replies.to_settled(reply)
            position = None if reply[3] is None else reply[3].decode("ascii")
        if len(records) > command.limit:
            break
    page = tuple(records[: command.limit])
    return c.PageOfRecords(page, page[-1].id if len(records) > command.limit else None)


def _filled_shards(home: Home, first: str) -> Procedure[list[str]]:
    tags = [tag for tag in TAGS if tag >= first]
    questions: list[tuple[str, Words]] = [(tag, ("EXISTS", home.keys.index(tag, "all"))) for tag in tags]
    _, *counts = yield Survey([home.refused_by_replicas(), *questions])
    return [tag for tag, count in zip(tags, counts, strict=True) if count]


def _listed_of_owner(home: Home, command: c.Page, owner: str) -> Procedure[c.PageOfRecords]:
    after = None if command.cursor is None else from_cursor(command.cursor)
    tag = yield from _home_tag(home, owner)
    reply = yield home.call("shards_of_owner", tag, command.at, owner)
    notes, in_vain = _notes(reply[2]), []
    found: list[SessionRecord] = []
    for place in [tag, *notes]:
        some, has_nothing = yield from _listed_of_shard(home, command, place, after)
        found += some
        if has_nothing and place in notes:
            in_vain.append(place)
    yield from _withdraw(home, tag, owner, notes, in_vain)
    found.sort(key=newest_first)
    page = tuple(found[: command.limit])
    return c.PageOfRecords(page, to_cursor(page[-1]) if len(found) > command.limit else None)


def _listed_of_shard(
    home: Home, command: c.Page, tag: str, after: tuple[int, str] | None
) -> Procedure[tuple[list[SessionRecord], bool]]:
    """Give the sessions in one shard that follow `after`, more than the page takes, or all; and whether it has none."""
    found: list[SessionRecord] = []
    has_nothing = False
    position: int | None = _NEWEST if after is None else -after[0]
    while position is not None and len(found) <= command.limit:
        reply = yield home.call(
            "page_of_owner",
            tag,
            command.at,
            command.owner or "",
            command.scope or "",
            command.status or "",
            position,
            _PAGE,
        )
        found += _following(replies.to_settled(reply), after)
        position = None if reply[3] is None else int(reply[3])
        has_nothing = bool(reply[4])
    return found, has_nothing


def _following(records: list[SessionRecord], after: tuple[int, str] | None) -> Iterator[SessionRecord]:
    return (record for record in records if after is None or newest_first(record) > after)
