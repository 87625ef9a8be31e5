"""Procedures that end or forget what is due, in all shards: what is longest due goes first, wherever it is.

Before anything is changed, what is to be changed is written down under the operation's id, and afterwards what was
answered. So a repetition finishes what was begun, and one that comes after the end gives the first answer.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import define, frozen

from sessionguard.core import commands as c
from sessionguard.core.instants import to_us
from sessionguard.core.records import SessionRecord
from sessionguard.stores.redis import replies
from sessionguard.stores.redis.asking import Procedure, Survey, Words
from sessionguard.stores.redis.keys import TAGS, operation
from sessionguard.stores.redis.limiting import REMEMBERED_MS
from sessionguard.stores.redis.openings import Home

_BATCH: Final = 100
"""Sessions per script: a server does nothing else for about a millisecond meanwhile."""
_LARGEST: Final = 2**53


@frozen
class _Answer:
    """What an operation is to change, or has changed and answered."""

    ids: Sequence[str]
    has_more: bool
    count: int | None = None
    """None as long as it is not done."""

    @classmethod
    def of(cls, text: bytes) -> "_Answer":
        return cls(**json.loads(text[1:]))

    def text(self) -> str:
        told = json.dumps({"ids": list(self.ids), "has_more": self.has_more, "count": self.count})
        return f"{'?' if self.count is None else '='}{told}"


def swept(home: Home, command: c.Sweep) -> Procedure[c.Ended]:
    """End expired sessions, the longest expired first."""
    name = operation(command.operation_id)
    answer = yield from _begun(home, command, name, "due", 0)
    if answer is None:
        return c.Ended(())
    if answer.count is None:
        records = yield from _by_shard(home, command, "sweep", answer.ids, (name,))
        records.sort(key=lambda record: record.expires_us)
        done = _Answer([record.id for record in records], answer.has_more, len(records))
        answer = yield from _kept(home, name, done)
        if answer == done:
            return c.Ended(tuple(records), answer.has_more)
    records = yield from _by_shard(home, command, "records", answer.ids, ())
    return c.Ended(in_order(records, answer.ids), answer.has_more)


def purged(home: Home, command: c.Purge) -> Procedure[c.Purged]:
    """Forget what ended long ago."""
    name = operation(command.operation_id)
    older_than_us = None if command.older_than_us is None else min(command.older_than_us, _LARGEST)
    index, age_us = ("forget", 0) if older_than_us is None else ("ended", older_than_us)
    answer = yield from _begun(home, command, name, index, age_us)
    if answer is None:
        return c.Purged(0, False)
    if answer.count is None:
        arguments: Words = (name, "" if older_than_us is None else older_than_us, REMEMBERED_MS)
        count = 0
        for tag, ids in batches(answer.ids):
            count += (yield home.call("forget", tag, command.at, *arguments, *ids))[2]
        answer = yield from _kept(home, name, _Answer((), answer.has_more, count))
    return c.Purged(answer.count or 0, answer.has_more)


def _begun(home: Home, command: c.Sweep | c.Purge, name: str, index: str, age_us: int) -> Procedure[_Answer | None]:
    """Give what this operation answered or planned before, or else plans now; None if there is nothing to do."""
    log_tag = name[:2]
    questions: list[tuple[str, Words]] = [
        (log_tag, ("GET", home.keys.index(log_tag, f"w:{name}"))),
        (log_tag, ("TIME",)),
        home.refused_by_replicas(),
        *((tag, ("ZRANGE", home.keys.index(tag, index), 0, 0, "WITHSCORES")) for tag in TAGS),
    ]
    known, (seconds, micros), _, *heads = yield Survey(questions)
    if known is not None:
        return _Answer.of(known)
    now_us = int(seconds) * 1_000_000 + int(micros) if command.at is None else to_us(command.at)
    bound_us = now_us - age_us
    due = [tag for tag, head in zip(TAGS, heads, strict=True) if head and float(head[1]) <= bound_us]
    if not due:
        return None
    chosen = yield from longest_due(home, index, due, bound_us, command.limit + 1)
    planned = _Answer(chosen[: command.limit], len(chosen) > command.limit)
    return (yield from _kept(home, name, planned))


def _kept(home: Home, name: str, answer: _Answer) -> Procedure[_Answer]:
    """Write down an answer, and give the one that is kept: another caller may have been first."""
    reply = yield home.call("note", name[:2], None, name, answer.text(), REMEMBERED_MS)
    return _Answer.of(reply[2])


@define
class _Window:
    """The part of an index that was read so far."""

    read: int = 0
    last: tuple[float, str] | None = None
    """The last that was read; None if there is no more behind it."""


def longest_due(home: Home, index: str, tags: Iterable[str], bound_us: int, wanted: int) -> Procedure[list[str]]:
    """Give the ids of the `wanted` longest due sessions of these shards, the longest due first."""
    windows = {tag: _Window(last=(-math.inf, "")) for tag in tags}
    share = max(8, 2 * wanted // len(windows))
    found: list[tuple[float, str]] = []
    while True:
        found.sort()
        edge = found[wanted - 1] if len(found) >= wanted else None
        open_tags = [
            tag for tag, window in windows.items() if window.last is not None and (edge is None or window.last < edge)
        ]
        if not open_tags:
            return [session_id for _, session_id in found[:wanted]]
        questions: list[tuple[str, Words]] = []
        for tag in open_tags:
            limits: Words = ("WITHSCORES", "LIMIT", windows[tag].read, share)
            questions.append((tag, ("ZRANGEBYSCORE", home.keys.index(tag, index), "-inf", bound_us, *limits)))
        for tag, some in zip(open_tags, (yield Survey(questions)), strict=True):
            part = [(float(score), session_id.decode("ascii")) for session_id, score in _pairs(some)]
            found += part
            windows[tag].read += len(part)
            windows[tag].last = part[-1] if len(part) == share else None


def _pairs(flat: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def batches(ids: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Give the ids in parts that one script may deal with, each with the tag of its shard."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for session_id in ids:
        by_tag[session_id[:2]].append(session_id)
    return [
        (tag, some[first : first + _BATCH]) for tag, some in by_tag.items() for first in range(0, len(some), _BATCH)
    ]


def _by_shard(
    home: Home, command: c.Sweep, script: str, ids: Sequence[str], arguments: Words
) -> Procedure[list[SessionRecord]]:
    records: list[SessionRecord] = []
    for tag, some in batches(ids):
        reply: Any = yield home.call(script, tag, command.at, *arguments, *some)
        records += replies.to_records(reply)
    return records


def in_order(records: Iterable[SessionRecord], ids: Sequence[str]) -> tuple[SessionRecord, ...]:
    """Give the records in the order of their ids, without those that are not there."""
    known: Mapping[str, SessionRecord] = {record.id: record for record in records}
    return tuple(known[session_id] for session_id in ids if session_id in known)
