"""Ending and forgetting many sessions in one step."""

import sqlite3

from sessionguard.core import commands as c
from sessionguard.stores.sqlite.queries import instant_us, select_all, storable
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


def find_nothing_expired(connection: sqlite3.Connection, command: c.Sweep) -> c.Ended | None:
    """Give the reply to a sweep that has nothing to end, else None."""
    (is_due,) = connection.execute(SQL["is_due"], {"now": instant_us(command.at)}).fetchone()
    return None if is_due else c.Ended(())


def sweep(connection: sqlite3.Connection, command: c.Sweep) -> c.Ended:
    """End expired sessions that no lease holds, the longest expired first."""
    now_us = instant_us(command.at)
    chosen = {"now": now_us, "limit": command.limit, "operation": command.operation_id}
    ended = select_all(connection, "sweep", chosen)
    full = len(ended) == command.limit
    has_more = full and bool(connection.execute(SQL["is_due"], {"now": now_us}).fetchone()[0])
    return c.Ended(tuple(sorted(ended, key=lambda record: record.expires_us)), has_more)


def find_nothing_forgettable(connection: sqlite3.Connection, command: c.Purge) -> c.Purged | None:
    """Give the reply to a purge that has nothing to forget, else None."""
    return None if _forgettable(connection, command, 0) else c.Purged(0, False)


def purge(connection: sqlite3.Connection, command: c.Purge) -> c.Purged:
    """Forget ended sessions and their locks; what numbers their slots reached stays used."""
    due = _forgettable(connection, command, command.limit)
    forgotten = due[: command.limit]
    if forgotten:
        floor = max((generation for _, generation, seat in forgotten if seat is not None), default=0)
        connection.execute(SQL["raise_generation_floor"], (floor,))
        row_ids = [(row_id,) for row_id, _, _ in forgotten]
        connection.executemany(SQL["forget_locks"], row_ids)
        connection.executemany(SQL["forget"], row_ids)
    return c.Purged(len(forgotten), len(due) > command.limit)


def _forgettable(connection: sqlite3.Connection, command: c.Purge, limit: int) -> list[tuple[int, int, int | None]]:
    chosen = {"limit": limit, "now": instant_us(command.at)}
    if command.older_than_us is None:
        return connection.execute(SQL["forgettable"], chosen).fetchall()
    return connection.execute(
        SQL["forgettable_at_age"], chosen | {"older_than": storable(command.older_than_us)}
    ).fetchall()
