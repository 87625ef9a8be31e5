"""Making an application's own table of sessions keep to one active row per slot.

All in one transaction, under a lock that lets others read but not write: of each slot the newest active row stays, the
others are ended, and a partial unique index sees to it that there are never two again. A dry run does the same without
that lock and without the index, on the rows that nobody else has locked, and takes it back.
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
    duplicates,
    ending,
    indexing,
    locked_at_once,
    newest_first,
    text,
)
from sessionguard.stores.postgres.fitting import Table, require_fit, table_of, unfit, unpermitted
from sessionguard.stores.postgres.holding import kept_locked
from sessionguard.stores.postgres.schema import LONGEST_SECONDS, Script, require_primary
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.wire import wire_of


def adopt(settings: Settings, adoption: Adoption, *, dry_run: bool = False) -> Adopted:
    """End all active rows but the newest of each slot and make the index, or only tell what would be done.

    Raises:
        ConfigurationError: the table is not as `adoption` says, or does not let rows be ended so; nothing was done.
        StoreTimeoutError: others kept it locked for the patience of `settings`; nothing was done.
    """
    with closing(Connections(settings, wire_of(settings))) as connections:
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
    yield "SET LOCAL search_path = public", None
    try:
        table = yield from table_of(adoption.table)
        try:
            adopted = yield from _done(table, adoption, dry_run)
        except psycopg.errors.LockNotAvailable as error:
            raise (yield from kept_locked("adopt", table.relation, settings)) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise unpermitted(adoption.table, error) from error
    yield "ROLLBACK" if dry_run else "COMMIT", None
    return adopted


def _done(table: Table, adoption: Adoption, dry_run: bool) -> Script[Adopted]:
    yield from require_fit(table, adoption)
    if not dry_run:
        yield text(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table.relation)), None
    active = condition(adoption.active)
    rows, active_rows, without_slot = yield from counted(table.relation, active, adoption.slot)
    order = [newest_first(adoption.newest)]
    found = yield from duplicates(table.relation, active, adoption.slot, order, table.key)
    is_there = yield from _has_index(table, adoption, active)
    tried = found
    if found and dry_run:
        tried = yield from locked_at_once(table.relation, found)
    if tried:
        yield from _end(table, adoption, tried)
    if not dry_run and not is_there:
        yield indexing(adoption.index, table.relation, adoption.slot, active), None
    made = () if is_there else (adoption.index,)
    return Adopted(rows, active_rows, found, without_slot, len(found) - len(tried), made, dry_run)


def _end(table: Table, adoption: Adoption, rows: tuple[Duplicate, ...]) -> Script[None]:
    try:
        yield ending(table.relation, adoption.end, rows), None
        # What is put off to the end of the transaction is judged here, in a dry run, too.
        yield "SET CONSTRAINTS ALL IMMEDIATE", None
    except psycopg.Error as error:
        told = unfit(table, adoption, error)
        if told is None:
            raise
        raise told from error


def _has_index(table: Table, adoption: Adoption, active: sql.Composable) -> Script[bool]:
    """Tell whether the index is there.

    Raises:
        ConfigurationError: another one has its name, or it is to be made and this role cannot.
    """
    name = adoption.index
    rows = yield _SHAPE, [text(table.relation), name]
    if not rows:
        if not table.is_ours:
            remedy = f"only its owner can make an index of it: name the role {table.owner} in the store URL"
            raise ConfigurationError("table", table.name, remedy)
        return False
    # The server writes conditions in its own words: it is asked for the same about an index that is right.
    probe = sql.Identifier("pg_temp", "sg_probe")
    yield text(sql.SQL("CREATE TEMPORARY TABLE sg_probe (LIKE {}) ON COMMIT DROP").format(table.relation)), None
    yield indexing("sg_probe_index", probe, adoption.slot, active), None
    right = yield _SHAPE, [text(probe), "sg_probe_index"]
    if rows != right:
        raise ConfigurationError(
            "index", name, f"it is there, but no valid unique index on {', '.join(adoption.slot)} of the active rows; "
            "drop it first"
        )  # fmt: skip
    return True


_SHAPE: Final = (
    "SELECT i.indisvalid, i.indisunique, pg_get_expr(i.indpred, i.indrelid), "
    "ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, false) FROM generate_series(1, i.indnkeyatts) AS n ORDER BY 1) "
    "FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = %s::regclass AND c.relname = %s"
)
"""What makes an index the judge: valid, unique, over which rows, on which columns."""
