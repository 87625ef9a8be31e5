"""From a session that is to be opened to its record: the one place where deadlines are computed."""

from attrs import evolve

from sessionguard.core.lifecycle import EXPIRED_REASON
from sessionguard.core.records import Lifetime, NewSession, SessionRecord


def opened_record(new: NewSession, *, exclusive: bool, generation: int, now_us: int) -> SessionRecord:
    """Give the record of `new` as it is at the instant it opens."""
    absolute_us = now_us + new.lifetime.absolute_us
    return SessionRecord(
        id=new.id,
        scope=new.scope,
        owner=new.owner,
        external_id=new.external_id,
        exclusive=exclusive,
        reason=None,
        created_us=now_us,
        last_seen_us=now_us,
        expires_us=min(now_us + new.lifetime.idle_us, absolute_us),
        absolute_us=absolute_us,
        ended_us=None,
        version=1,
        generation=generation,
        token_hash=new.token_hash,
        previous_hash=None,
        previous_until_us=None,
        touch_us=new.lifetime.touch_us,
        data=new.data,
    )


def touched_record(record: SessionRecord, lifetime: Lifetime, now_us: int) -> SessionRecord:
    """Give `record` as seen at `now_us`. A clock that went back neither shortens nor prolongs a session's life."""
    seen_us = max(record.last_seen_us, now_us)
    return evolve(record, last_seen_us=seen_us, expires_us=min(seen_us + lifetime.idle_us, record.absolute_us))


def ended_record(record: SessionRecord, lifetime: Lifetime, reason: str, now_us: int) -> SessionRecord:
    """Give `record` as history: ended for `reason`, and without its data unless that is to be kept."""
    ended_us = record.expires_us if reason == EXPIRED_REASON else now_us
    return evolve(record, reason=reason, ended_us=ended_us, data=record.data if lifetime.keeps_data else "{}")
