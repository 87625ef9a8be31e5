"""Procedures about the sessions of one owner: most lie in the owner's home shard, and some elsewhere.

A session that was anonymous and received its owner later stays in the shard that its id names. Before it receives
the owner, that shard is noted in the owner's home shard, for as long as the session is kept; so only such a rotation
takes three round trips. Who finds nothing of the owner in a shard withdraws its note, if that is a day old and was not
renewed. A rotation relies on its note for an hour, by the clock of the session's server, and then makes it anew: so
none is withdrawn between a note and its rotation, as long as the clocks of the servers differ by less than 23 hours.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.limits import ActiveLimit, in_order
from sessionguard.core.paging import from_cursor, newest_first, to_cursor
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_tag
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import replies
from sessionguard.stores.redis.asking import Call, Procedure, Survey, Words
from sessionguard.stores.redis.keys import TAGS, operation
from sessionguard.stores.redis.limiting import REMEMBERED_MS, LimitedAsk, fetched
from sessionguard.stores.redis.openings import NO_LIMIT, Home, identify

_NOTE_HOLDS_US: Final = 3_600_000_000
_ATTEMPTS: Final = 64
"""How often a login asks for a seat anew that others were given before it could be taken."""
_LAPSES: Final = 3
_NEWEST: Final = 2**53
_PAGE: Final = 100


def rotated(home: Home, command: c.Rotate) -> Procedure[c.Changed]:
    """Replace the token, and give the session its owner if it is to receive one."""
    tag = command.session_id[:2]
    if command.owner is None:
        return replies.to_rotated((yield _rotation(home, command)))
    home_tag = yield from _home_tag(home, command.owner)
    if tag != home_tag:
        return (yield from _rotated_elsewhere(home, command, command.owner, home_tag))
    if command.at_most is None:
        return replies.to_rotated((yield _rotation(home, command)))
    asked = LimitedAsk.of(home, home_tag, command.owner, command.at_most, command)
    reply = yield from asked.reply(lambda limit: _asked(_rotation(home, command, limit=limit)))
    elsewhere = yield from fetched(home, reply[5] if len(reply) > 5 else ())
    return _with_ended(replies.to_rotated(reply), (*elsewhere, *asked.ended))


def _rotation(
    home: Home, command: c.Rotate, holds_until: int | str = "", barred: bytes = b"", limit: Words = NO_LIMIT
) -> Call:
    return home.call(
        "rotate",
        command.session_id[:2],
        command.at,
        command.session_id,
        operation(command.operation_id),
        command.expected_hash,
        command.token_hash,
        command.grace_us,
        command.owner or "",
        holds_until,
        barred,
        *limit,
    )


def _asked(call: Call) -> Procedure[Any]:
    return (yield call)


def _with_ended(changed: c.Changed, others: Iterable[SessionRecord]) -> c.Changed:
    return evolve(changed, ended=in_order((*changed.ended, *others)))


def _rotated_elsewhere(home: Home, command: c.Rotate, owner: str, home_tag: str) -> Procedure[c.Changed]:
    """The same for a session that is not in the home shard of the owner: its seat there is taken first.

    Who has to go for it is ended with that. If another rotation comes in between, they have gone for a login that was
    not to be; they are told all the same.
    """
    # The first time only whether it would be done at all, and for how long the session is kept, is learned.
    reply = yield _rotation(home, command, 0)
    if reply[2] != b"unannounced":
        return (yield from _judged(home, command, home_tag, reply))
    ended: list[SessionRecord] = []
    lapses = 0
    for _ in range(_ATTEMPTS):
        _, _, _, kept_ms, scope, is_own, barred = reply
        limit = None if is_own else command.at_most
        described = (owner, command.session_id[:2], int(kept_ms), "" if is_own else command.session_id, scope)
        noted = yield from _announced(home, command, home_tag, limit, described, ended)
        if noted is None:
            return _refused((yield home.call("get", command.session_id[:2], command.at, command.session_id)))
        reply = yield _rotation(home, command, noted + _NOTE_HOLDS_US, barred)
        if reply[2] != b"unannounced":
            changed = replies.to_rotated(reply)
            if changed.outcome is not Outcome.DONE and not is_own:
                seat = f"{noted}:{command.session_id}:{scope.decode()}"
                yield home.call("vacate", home_tag, None, owner, seat)
            return _with_ended(changed, ended)
        # Either its seat was given to others who logged in at the same time, one of whom comes to his end each time; or
        # the note has lapsed already.
        lapses += reply[6] == barred
        if lapses == _LAPSES:
            raise StoreUnavailableError(
                "redis", "rotate", "the clocks of its servers are more than an hour apart; let NTP set them"
            )
    raise StoreUnavailableError(
        "redis", "rotate", f"others who logged in as this owner took its place {_ATTEMPTS} times; try again"
    )


def _announced(
    home: Home,
    command: c.Rotate,
    home_tag: str,
    limit: ActiveLimit | None,
    described: tuple[Any, ...],
    ended: list[SessionRecord],
) -> Procedure[int | None]:
    """Note the shard of the session in the home shard of the owner, and give it a seat there; None: there is none."""
    words = (*described, operation(command.operation_id))
    if limit is None:
        return int((yield home.call("announce", home_tag, command.at, *words, *NO_LIMIT))[3])
    asked = LimitedAsk.of(home, home_tag, described[0], limit, command)
    reply = yield from asked.reply(lambda seen: _asked(home.call("announce", home_tag, command.at, *words, *seen)))
    if reply[2] == b"full":
        return None
    ended += [*asked.ended, *replies.to_shown(reply[4])]
    return int(reply[3])


def _refused(reply: Any) -> c.Changed:
    record = replies.to_found(reply)
    is_over = record is None or record.reason is not None
    return c.Changed(Outcome.ENDED if is_over else Outcome.FULL, record)


def _judged(home: Home, command: c.Rotate, home_tag: str, reply: Any) -> Procedure[c.Changed]:
    """Give how a rotation ended that did nothing: if it was done before, with those whom it ended then."""
    changed = replies.to_rotated(reply)
    if changed.outcome is not Outcome.DONE or command.at_most is None:
        return changed
    told = yield home.call("ended_before", home_tag, command.at, operation(command.operation_id))
    return _with_ended(changed, [*replies.to_shown(told[2]), *(yield from fetched(home, told[3]))])


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
