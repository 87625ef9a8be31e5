"""What the specification knows of one session, and whether a record that a client was given agrees with it.

An instant that nobody told, because the answer was lost, is a span: the earliest and the latest that it may
be. The first record that shows it narrows the span to one instant.
"""

import json
from functools import lru_cache
from typing import Final, NamedTuple

from attrs import evolve

from sessionguard.core.lifecycle import EXPIRED_REASON
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.core.visitors import visitor_of
from sessionguard.testing.history.showing import short

FOREVER: Final = 2**62

Span = tuple[int, int]
Fields = tuple[tuple[str, str], ...]
"""Top-level fields in the order of their names, each with its JSON text in one fixed form."""


class Life(NamedTuple):
    """One session: what changes in it. What never changes is in its `NewSession`."""

    id: str
    owner: str
    exclusive: bool
    created: Span
    seen: Span
    version: int
    fields: Fields
    generation: Span
    token: bytes
    previous: bytes | None = None
    until: Span | None = None
    reason: str | None = None
    ended: Span | None = None
    may_be_gone: bool = False
    """Whether a purge may have forgotten it."""


def newborn(new: NewSession, created: Span, generation: Span, *, exclusive: bool) -> Life:
    """Give the session that `new` opens at some instant of `created`."""
    fields = fields_of(new.data)
    return Life(new.id, new.owner, exclusive, created, created, 1, fields, generation, new.token_hash)


def is_taken(life: Life | None, meant: SessionRecord | None) -> bool:
    """Tell whether a visitor's session has received its owner since the caller knew it as `meant`."""
    visitor = visitor_of(meant)
    return life is not None and visitor is not None and life.owner != visitor


def expires(life: Life, new: NewSession) -> Span:
    """Give when its time is over."""
    idle_us, absolute_us = new.lifetime.idle_us, new.lifetime.absolute_us
    return (
        min(life.seen[0] + idle_us, life.created[0] + absolute_us),
        min(life.seen[1] + idle_us, life.created[1] + absolute_us),
    )


def finished(life: Life, new: NewSession, reason: str, ended: Span) -> Life:
    """Give the session as history."""
    return life._replace(reason=reason, ended=ended, fields=life.fields if new.lifetime.keeps_data else ())


def agreed(life: Life, new: NewSession, record: SessionRecord) -> Life | None:
    """Give `life` with what `record` tells of its instants, or None if the two contradict each other."""
    told = (record.owner, record.exclusive, record.version, record.token_hash, record.previous_hash, record.reason)
    if told != (life.owner, life.exclusive, life.version, life.token, life.previous, life.reason):
        return None
    if not _is_consistent(record, new) or fields_of(record.data) != life.fields:
        return None
    created = _meet(life.created, record.created_us)
    seen = _meet(life.seen, record.last_seen_us)
    generation = _meet(life.generation, record.generation)
    if created is None or seen is None or generation is None:
        return None
    until, ended = record.previous_until_us, record.ended_us
    if (until is None) != (life.until is None) or (ended is None) != (life.ended is None):
        return None
    if life.until is not None and until is not None and not life.until[0] <= until <= life.until[1]:
        return None
    if life.ended is not None and ended is not None and not life.ended[0] <= ended <= life.ended[1]:
        return None
    return life._replace(
        created=created,
        seen=seen,
        generation=generation,
        until=None if until is None else (until, until),
        ended=None if ended is None else (ended, ended),
    )


def _meet(span: Span, value: int) -> Span | None:
    return (value, value) if span[0] <= value <= span[1] else None


def agreed_as_read(life: Life, new: NewSession, record: SessionRecord, lo: int, hi: int) -> Life | None:
    """The same for a reader at some instant from `lo` to `hi`, to whom an expired session is an ended one."""
    if life.reason is not None:
        return agreed(life, new, record)
    if record.reason is None:
        return agreed(life, new, record) if lo < record.expires_us else None
    if record.reason != EXPIRED_REASON or record.ended_us != record.expires_us or hi < record.expires_us:
        return None
    return agreed(life, new, evolve(record, reason=None, ended_us=None))


def described(life: Life) -> str:
    """Give what is known of it in a line."""
    data = ", ".join(f"{name}: {text}" for name, text in life.fields)
    state = "not ended" if life.reason is None else f"ended ({life.reason})"
    slot = ", holds the slot" if life.exclusive and life.reason is None else ""
    return f"{short(life.id)} {state}{slot}, v{life.version} g{life.generation[0]} {{{data}}}"


def _is_consistent(record: SessionRecord, new: NewSession) -> bool:
    """Tell whether what never changes is as it was opened, and the deadlines are those of its lifetime."""
    absolute_us = record.created_us + new.lifetime.absolute_us
    return (
        record.id == new.id
        and record.scope == new.scope
        and record.external_id == new.external_id
        and record.touch_us == new.lifetime.touch_us
        and record.absolute_us == absolute_us
        and record.expires_us == min(record.last_seen_us + new.lifetime.idle_us, absolute_us)
    )


@lru_cache(maxsize=4096)
def fields_of(data: str) -> Fields:
    """Give the fields of a JSON object. Numbers stay what they are: 1, 1.0 and true are three values."""
    return tuple(sorted((name, _fixed(value)) for name, value in json.loads(data).items()))


@lru_cache(maxsize=4096)
def value_of(text: str) -> str:
    """Give one JSON text in its fixed form."""
    return _fixed(json.loads(text))


def size_of(fields: Fields) -> int:
    """Give how much of its limit the data takes."""
    return len(("{" + ",".join(f"{_fixed(name)}:{text}" for name, text in fields) + "}").encode())


def _fixed(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
