"""Leases of a session, kept in its row: read, decided and written with the write lock held."""

import sqlite3

from sessionguard.core.leases import FindLease, HoldLease, LeaseReply, ReleaseLease
from sessionguard.core.lifecycle import Outcome
from sessionguard.errors import StoreDataError
from sessionguard.stores import leases
from sessionguard.stores.leases import NO_LEASES, Leases
from sessionguard.stores.sqlite.queries import instant_us, select_one, storable
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL


def hold(connection: sqlite3.Connection, command: HoldLease) -> LeaseReply:
    """Hold the session, and touch it if it is active."""
    now_us = instant_us(command.at)
    record = select_one(connection, "by_id", {"id": command.session_id})
    found, was_released = _found(connection, command)
    reply, kept = leases.hold(found, record, was_released, command, now_us)
    if kept is not None:
        _keep(connection, command.session_id, kept)
        if reply.reason is None:
            connection.execute(SQL["touch"], {"id": command.session_id, "now": now_us}).fetchall()
    return reply


def release(connection: sqlite3.Connection, command: ReleaseLease) -> LeaseReply:
    """Let go, or tell that this holder did before."""
    record = select_one(connection, "by_id", {"id": command.session_id})
    found, was_released = _found(connection, command)
    reply, kept = leases.release(found, record, was_released, command.holder, instant_us(command.at))
    if kept is not None and kept != found:
        _keep(connection, command.session_id, kept)
        if reply.outcome is Outcome.DONE:
            connection.execute(SQL["remember"], {"id": command.session_id, "operation": command.holder})
    return reply


def find(connection: sqlite3.Connection, command: FindLease) -> int | None:
    """Give when the last lease lapses."""
    asked = {"id": command.session_id, "now": instant_us(command.at)}
    found = connection.execute(SQL["leased_until"], asked).fetchone()
    return None if found is None else int(found[0])


def floor_of(connection: sqlite3.Connection, session_id: str) -> int:
    """Give the lowest fence with which a save under a lease is done."""
    found = connection.execute(SQL["lease_floor"], {"id": session_id}).fetchone()
    return 0 if found is None else int(found[0])


def _found(connection: sqlite3.Connection, command: HoldLease | ReleaseLease) -> tuple[Leases, bool]:
    asked = {"id": command.session_id, "holder": command.holder}
    row = connection.execute(SQL["leases"], asked).fetchone()
    if row is None:
        return NO_LEASES, False
    try:
        return Leases.read(row[0]), bool(row[1])
    except ValueError as error:
        message = f"the leases of session {command.session_id} are damaged; another program must have changed them"
        raise StoreDataError("sqlite", command.verb, message) from error


def _keep(connection: sqlite3.Connection, session_id: str, kept: Leases) -> None:
    values = {"id": session_id, "leases": kept.text(), "floor": kept.floor, "until": storable(kept.until_us)}
    connection.execute(SQL["keep_leases"], values)
