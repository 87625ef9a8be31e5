"""Making room for one more session of an owner, with the write lock held; and telling again who had to go for it."""

import sqlite3

from sessionguard.core.lifecycle import EXPIRED_REASON
from sessionguard.core.limits import ActiveLimit, endings_for_one_more, in_order
from sessionguard.core.records import SessionRecord
from sessionguard.stores.sqlite.queries import select_all, select_one


def ended_for_one_more(
    connection: sqlite3.Connection,
    limit: ActiveLimit,
    scope: str,
    owner: str,
    but: SessionRecord | None,
    operation_id: str,
    now_us: int,
) -> tuple[SessionRecord, ...] | None:
    """End whom the limit asks to end before one more session of the owner is active; None: there may be no more."""
    owned = select_all(connection, "owned", {"owner": owner, "scope": scope})
    others = [record for record in owned if but is None or record.id != but.id]
    endings = endings_for_one_more(limit, others, now_us)
    if endings is None:
        return None
    return tuple(end_one(connection, record.id, reason, operation_id, now_us) for record, reason in endings)


def end_one(
    connection: sqlite3.Connection, session_id: str, reason: str, operation_id: str, now_us: int
) -> SessionRecord:
    """End a session that nobody has ended; EXPIRED_REASON: its time was over."""
    parameters = {"id": session_id, "operation": operation_id, "now": now_us}
    if reason == EXPIRED_REASON:
        ended = select_one(connection, "end_expired", parameters)
    else:
        ended = select_one(connection, "end", parameters | {"reason": reason})
    # It was read, and judged by the same instant, under the same lock.
    assert ended is not None
    return ended


def ended_before(
    connection: sqlite3.Connection, scope: str, owner: str, operation_id: str
) -> tuple[SessionRecord, ...]:
    """Give whom this very operation, which a limit was about, has ended before."""
    asked = {"owner": owner, "scope": scope, "operation": operation_id}
    return in_order(select_all(connection, "ended_of_owner", asked))
