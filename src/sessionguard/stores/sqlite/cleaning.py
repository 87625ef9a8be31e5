"""Ending and forgetting many sessions in one step, whose answer is remembered in that step."""

import sqlite3

from sessionguard.core import commands as c
from sessionguard.stores.sqlite import answers
from sessionguard.stores.sqlite.queries import instant_us, select_all, storable
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL


def end_owner(connection: sqlite3.Connection, command: c.EndOwner) -> c.Ended:
    """End the sessions of an owner, or give those that this very command ended before, if only none."""
    # The owner may have come back since it was done; those sessions are not the ones that were meant.
    again = answers.ended_before(connection, command.operation_id)
    if again is not None:
        return again
    now_us = instant_us(command.at)
    chosen = {
        "owner": command.owner,
        "scope": command.scope,
        "keep_id": command.keep_id,
        "reason": command.reason,
        "operation": command.operation_id,
        "now": now_us,
    }
    ended = c.Ended(select_all(connection, "end_owner", chosen))
    answers.remember(connection, command.operation_id, now_us, ended)
    return ended


def find_nothing_expired(connection: sqlite3.Connection, command: c.Sweep) -> c.Ended | None:
    """Give the reply to a sweep that has nothing to end and never had, else None."""
    asked = {"now": instant_us(command.at), "operation": command.operation_id}
    (is_due_or_answered,) = connection.execute(SQL["is_due_or_answered"], asked).fetchone()
    return None if is_due_or_answered else c.Ended(())


def sweep(connection: sqlite3.Connection, command: c.Sweep) -> c.Ended:
    """End expired sessions that no lease holds, the longest expired first."""
    again = answers.ended_before(connection, command.operation_id)
    if again is not None:
        return again
    now_us = instant_us(command.at)
    chosen = {"now": now_us, "limit": command.limit, "operation": command.operation_id}
    records = sorted(select_all(connection, "sweep", chosen), key=lambda record: record.expires_us)
    ended = c.Ended(tuple(records), len(records) == command.limit and _is_due(connection, now_us))
    if records:
        answers.remember(connection, command.operation_id, now_us, ended)
    return ended


def find_nothing_forgettable(connection: sqlite3.Connection, command: c.Purge) -> c.Purged | None:
    """Give the reply to a purge that has nothing to forget and never had, else None."""
    # The answers last: once what this very purge forgot before is gone, its answer is there.
    if _forgettable(connection, command, 0):
        return None
    now_us = instant_us(command.at)
    return None if answers.has_old_or_this(connection, now_us, command.operation_id) else c.Purged(0, False)


def purge(connection: sqlite3.Connection, command: c.Purge) -> c.Purged:
    """Forget ended sessions and their locks; what numbers their slots reached stays used."""
    again = answers.purged_before(connection, command.operation_id)
    if again is not None:
        return again
    now_us = instant_us(command.at)
    answers.forget_old(connection, now_us)
    due = _forgettable(connection, command, command.limit)
    forgotten = due[: command.limit]
    purged = c.Purged(len(forgotten), len(due) > command.limit)
    if forgotten:
        floor = max((generation for _, generation, seat in forgotten if seat is not None), default=0)
        connection.execute(SQL["raise_generation_floor"], (floor,))
        row_ids = [(row_id,) for row_id, _, _ in forgotten]
        connection.executemany(SQL["forget_locks"], row_ids)
        connection.executemany(SQL["forget"], row_ids)
        answers.remember(connection, command.operation_id, now_us, purged)
    return purged


def _is_due(connection: sqlite3.Connection, now_us: int) -> bool:
    return bool(connection.execute(SQL["is_due"], {"now": now_us}).fetchone()[0])


def _forgettable(connection: sqlite3.Connection, command: c.Purge, limit: int) -> list[tuple[int, int, int | None]]:
    chosen = {"limit": limit, "now": instant_us(command.at)}
    if command.older_than_us is None:
        return connection.execute(SQL["forgettable"], chosen).fetchall()
    return connection.execute(
        SQL["forgettable_at_age"], chosen | {"older_than": storable(command.older_than_us)}
    ).fetchall()
