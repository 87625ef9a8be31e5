"""From rows to records and back: pure, and the only place that knows the order of columns."""

import json
from collections.abc import Sequence
from typing import Any

from sessionguard.core.data import merge, size_bytes
from sessionguard.core.records import Lifetime, SessionRecord
from sessionguard.errors import StoreDataError

Row = Sequence[Any]


def to_record(row: Row) -> SessionRecord:
    """Give the record whose columns the macro `@record` selected."""
    (
        session_id, scope, owner, external_id, exclusive, reason, created_us, last_seen_us, expires_us, absolute_us,
        ended_us, version, generation, token_hash, previous_hash, previous_until_us, touch_us, data,
    ) = row  # fmt: skip
    return SessionRecord(
        session_id, scope, owner, external_id, exclusive == 1, reason, created_us, last_seen_us, expires_us,
        absolute_us, ended_us, version, generation, token_hash, previous_hash, previous_until_us, touch_us, data,
    )  # fmt: skip


def to_row(record: SessionRecord, lifetime: Lifetime) -> Row:
    """Give the parameters with which the statement `insert` stores a session that opens."""
    return (
        record.id, record.scope, record.owner, record.external_id or "", 0 if record.exclusive else None,
        record.created_us, record.last_seen_us, record.expires_us, record.absolute_us, record.generation,
        record.token_hash, lifetime.idle_us, lifetime.touch_us, lifetime.retention_us, int(lifetime.keeps_data),
        record.data,
    )  # fmt: skip


def sg_merge(data: str, changes: str, remove: str) -> str:
    """SQL function: replace top-level fields and remove others. json_patch would take null for "remove"."""
    try:
        return merge(data, changes, json.loads(remove))
    except (ValueError, AttributeError, RecursionError) as error:
        raise StoreDataError(
            "sqlite", "save", "the stored data of a session is not a JSON object; another program must have changed it"
        ) from error


def sg_size(data: str, changes: str, remove: str, limit_bytes: int) -> int:
    """SQL function: the size after such a merge, or at least some number that is within the limit if it is."""
    bound = size_bytes(data) + size_bytes(changes)
    return bound if bound <= limit_bytes else size_bytes(sg_merge(data, changes, remove))
