"""Procedures of a clean-up about all shards together: what is due, and whose turn it is.

A census costs two plain questions per shard, whatever is in them: the index of deadlines counts by itself.
"""

from typing import Any, Final

from sessionguard.core import fleet as f
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.stores.redis import replies
from sessionguard.stores.redis.asking import Procedure, Survey, Words
from sessionguard.stores.redis.cleaning import batches, in_order, longest_due
from sessionguard.stores.redis.keys import TAGS, operation
from sessionguard.stores.redis.openings import Home

_SPARE_MS: Final = 86_400_000
"""A turn is kept for a day longer than its lease: who names instants need not go by the clock of the server."""


def counted(home: Home, command: f.Census) -> Procedure[f.Counted]:
    """Count what is due and what is not ended, in every shard."""
    bound_us = yield from _now_us(home, command)
    questions: list[tuple[str, Words]] = []
    for tag in TAGS:
        index = home.keys.index(tag, "due")
        questions += [(tag, ("ZCOUNT", index, "-inf", bound_us)), (tag, ("ZCARD", index))]
    numbers = yield Survey(questions)
    return f.Counted(sum(map(int, numbers[::2])), sum(map(int, numbers[1::2])))


def found(home: Home, command: f.FindDue) -> Procedure[tuple[SessionRecord, ...]]:
    """Give what a sweep would end."""
    bound_us = yield from _now_us(home, command)
    ids = yield from longest_due(home, "due", TAGS, bound_us, command.limit)
    records: list[SessionRecord] = []
    for tag, some in batches(ids):
        reply: Any = yield home.call("records", tag, command.at, *some)
        records += replies.to_records(reply)
    # One that was touched or ended since the index was read is not due.
    due = [record for record in records if record.reason is None and record.expires_us <= bound_us]
    return in_order(due, ids)


def taken(home: Home, command: f.TakeTurn) -> Procedure[Outcome]:
    """Take or keep the turn."""
    kept_ms = command.lease_us // 1000 + _SPARE_MS
    name = operation(command.name)
    reply = yield home.call("take_turn", name[:2], command.at, name, command.holder, command.lease_us, kept_ms)
    return Outcome(reply[2].decode("ascii"))


def given(home: Home, command: f.GiveTurn) -> Procedure[Outcome]:
    """Give the turn back."""
    name = operation(command.name)
    reply = yield home.call("give_turn", name[:2], command.at, name, command.holder)
    return Outcome(reply[2].decode("ascii"))


def _now_us(home: Home, command: f.Census | f.FindDue) -> Procedure[int]:
    if command.at is not None:
        return to_us(command.at)
    ((seconds, micros), _) = yield Survey([(TAGS[0], ("TIME",)), home.refused_by_replicas()])
    return int(seconds) * 1_000_000 + int(micros)
