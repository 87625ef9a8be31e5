"""Ending and forgetting many sessions in one step."""

import sqlite3

from sessionguard.core import commands as c
from sessionguard.stores.sqlite.queries import instant_us, select_all
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL


def end_owner(connection: sqlite3.Connection, command: c.EndOwner) -> c.Ended:
    """End the sessions of an owner, or give those that this very command ended before."""
    operation = {"owner": command.owner, "operation": command.operation_id}
    # The owner may have come back since it was done; those sessions are not the ones that were meant.
    repeated = select_all(connection, "ended_by", operation)
    if repeated:
        return c.Ended(repeated)
    chosen = {"scope": command.scope, "keep_id": command.keep_id, "reason": command.reason}
    return c.Ended(select_all(connection, "end_owner", operation | chosen | {"now": instant_us(command.at)}))


def sweep(connection: sqlite3.Connection, command: c.Sweep) -> c.Ended:
    """End expired sessions that no lease holds, the longest expired first."""
    now_us = instant_us(command.at)
    chosen = {"now": now_us, "limit": command.limit, "operation": command.operation_id}
    ended = select_all(connection, "sweep", chosen)
    full = len(ended) == command.limit
    has_more = full and bool(connection.execute(SQL["is_due"], {"now": now_us}).fetchone()[0])
    return c.Ended(tuple(sorted(ended, key=lambda record: record.expires_us)), has_more)


def purge(connection: sqlite3.Connection, command: c.Purge) -> c.Purged:
    """Forget ended sessions and their locks; what numbers their slots reached stays used."""
    chosen = {"older_than": command.older_than_us, "limit": command.limit, "now": instant_us(command.at)}
    due = connection.execute(SQL["forgettable"], chosen).fetchall()
    forgotten = due[: command.limit]
    if forgotten:
        floor = max((generation for _, generation, seat in forgotten if seat is not None), default=0)
        connection.execute(SQL["raise_generation_floor"], (floor,))
        row_ids = [(row_id,) for row_id, _, _ in forgotten]
        connection.executemany(SQL["forget_locks"], row_ids)
        connection.executemany(SQL["forget"], row_ids)
    return c.Purged(len(forgotten), len(due) > command.limit)
