"""Making an application's own table of sessions keep to one active row per slot.

All in one transaction, under a lock that lets others read but not write: of each slot the newest active row stays, the
others are ended, and a partial unique index sees to it that there are never two again. A dry run reads the same without
that lock, tries to end a few rows that nobody else has locked, and takes that back.
"""

from contextlib import closing
from typing import Final

import psycopg
from psycopg import sql

from sessionguard.errors import ConfigurationError
from sessionguard.stores.postgres.adoption import Adopted, Adoption, Duplicate
from sessionguard.stores.postgres.connections import Connections
from sessionguard.stores.postgres.duplicates import (
    condition,
    counted,
    counted_active,
    duplicates,
    ending_statement,
    locked_at_once,
    newest_first,
    text,
)
from sessionguard.stores.postgres.fitting import Table, require_fit, table_of, unfit, unpermitted
from sessionguard.stores.postgres.holding import rolled_back
from sessionguard.stores.postgres.judging import index_is_there, make_index
from sessionguard.stores.postgres.schema import LONGEST_SECONDS, Script, require_primary
from sessionguard.stores.postgres.settings import Settings, with_own_search_path
from sessionguard.stores.postgres.wire import wire_of

TRIED_AT_MOST: Final = 100
"""On how many rows a dry run tries to end them."""

_TRIAL_LIMITS: Final = "SET LOCAL lock_timeout = 100; SET LOCAL statement_timeout = 1000"
"""Milliseconds. A trial keeps rows of the application locked, so it gives up soon."""


def adopt(settings: Settings, adoption: Adoption, *, dry_run: bool = False) -> Adopted:
    """End all active rows but the newest of each slot and make the index, or only tell what would be done.

    Raises:
        ConfigurationError: the table is not as `adoption` says, or does not let rows be ended so; nothing was done.
        StoreTimeoutError: others kept it locked for the patience of `settings`; nothing was done.
    """
    own = with_own_search_path(settings)
    with closing(Connections(own, wire_of(own))) as connections:
        return connections.play("adopt", _adopted(adoption, settings, dry_run), LONGEST_SECONDS)


def begun(settings: Settings, operation: str, *, read_only: bool = False) -> Script[None]:
    """Begin a transaction that waits for locks for the patience of `settings`, and for nothing else."""
    if not read_only:
        yield from require_primary(operation)
    yield f"BEGIN ISOLATION LEVEL READ COMMITTED {'READ ONLY' if read_only else 'READ WRITE'}", None
    # Rows that a policy hides would be left out without a word: then an error is better.
    yield "SET LOCAL statement_timeout = 0; SET LOCAL row_security = off", None
    yield f"SET LOCAL lock_timeout = {settings.patience_ms}", None


def _adopted(adoption: Adoption, settings: Settings, dry_run: bool) -> Script[Adopted]:
    yield from begun(settings, "adopt")
    try:
        table = yield from table_of(adoption.table)
        try:
            adopted = yield from _carried_out(table, adoption, dry_run)
        except psycopg.errors.LockNotAvailable as error:
            raise (yield from rolled_back("adopt", table.relation, settings)) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise unpermitted(adoption.table, error) from error
    yield "ROLLBACK" if dry_run else "COMMIT", None
    return adopted


def _carried_out(table: Table, adoption: Adoption, dry_run: bool) -> Script[Adopted]:
    if not dry_run:
        # Before any weaker lock is had: of two adoptions at once, one waits for the other here.
        yield text(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table.relation)), None
    # Taken back, for the locks of what is only looked at would be kept while all rows are read.
    yield "SAVEPOINT sg_looked", None
    yield from require_fit(table, adoption)
    is_there = yield from index_is_there(table, adoption)
    yield "ROLLBACK TO SAVEPOINT sg_looked", None
    active = condition(adoption.active)
    rows, active_rows, without_slot = yield from counted(table.relation, active, adoption.slot)
    found = yield from duplicates(table.relation, active, adoption.slot, [newest_first(adoption.newest)], table.key)
    made = () if is_there else (adoption.index,)
    untried_count = 0
    if dry_run:
        untried_count = len(found) - (yield from _tried(table, adoption, found[:TRIED_AT_MOST]))
    else:
        yield from _end_rows(table, adoption, found)
        if made:
            yield from make_index(table, adoption)
    return Adopted(rows, active_rows, found, without_slot, untried_count, made, dry_run)


def _tried(table: Table, adoption: Adoption, rows: tuple[Duplicate, ...]) -> Script[int]:
    """Try to end rows, and tell on how many that was tried; all that may follow is a rollback."""
    yield _TRIAL_LIMITS, None
    try:
        free = (yield from locked_at_once(table.relation, table.key, rows)) if rows else ()
        yield from _end_rows(table, adoption, free)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
        return 0
    return len(free)


def _end_rows(table: Table, adoption: Adoption, rows: tuple[Duplicate, ...]) -> Script[None]:
    if not rows:
        return
    try:
        yield ending_statement(table.relation, table.key, adoption.end, rows), None
        # What is put off to the end of the transaction is judged here, in a dry run, too.
        yield "SET CONSTRAINTS ALL IMMEDIATE", None
    except psycopg.Error as error:
        told = unfit(table, adoption, error)
        if told is None:
            raise
        raise told from error
    left = yield from counted_active(table.relation, condition(adoption.active), table.key, rows)
    if left:
        remedy = f"{left} of {len(rows)} rows are active after it, too: the value is the same, or a trigger undoes it"
        raise ConfigurationError("end", adoption.ends, remedy)
