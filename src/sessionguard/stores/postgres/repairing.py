"""Mending our own table where a unique index of it is missing, and so a slot may hold several active sessions."""

import re
from contextlib import closing
from typing import Final

import psycopg
from psycopg import sql

from sessionguard.stores.postgres.adopting import begun
from sessionguard.stores.postgres.adoption import Adopted
from sessionguard.stores.postgres.connections import Connections
from sessionguard.stores.postgres.duplicates import counted, duplicates, text
from sessionguard.stores.postgres.holding import rolled_back
from sessionguard.stores.postgres.schema import LONGEST_SECONDS, MIGRATIONS, Script
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.wire import wire_of

_SLOT: Final = ("scope", "owner", "external_id")
_OWN_INDEXES: Final = dict(re.findall(r"CREATE UNIQUE INDEX (\w+) (.*?);", MIGRATIONS[0][2], re.DOTALL))


def repair(settings: Settings, *, dry_run: bool = False) -> Adopted:
    """Of each slot of our own table leave the newest session, and make its unique indexes that are missing or invalid.

    Raises:
        StoreTimeoutError: others kept the table locked for the patience of `settings`; nothing was done.
    """
    with closing(Connections(settings, wire_of(settings))) as connections:
        return connections.play("repair", _repaired(settings, dry_run), LONGEST_SECONDS)


def _repaired(settings: Settings, dry_run: bool) -> Script[Adopted]:
    relation = sql.Identifier(settings.schema, "sg_session")
    yield from begun(settings, "repair", read_only=dry_run)
    yield f'SET LOCAL search_path = "{settings.schema}", pg_temp', None
    try:
        repaired = yield from _mended(relation, dry_run)
    except psycopg.errors.LockNotAvailable as error:
        raise (yield from rolled_back("repair", relation, settings)) from error
    yield "ROLLBACK" if dry_run else "COMMIT", None
    return repaired


def _mended(relation: sql.Composable, dry_run: bool) -> Script[Adopted]:
    if not dry_run:
        yield text(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(relation)), None
    active = sql.SQL("active AND seat IS NOT NULL")
    rows, active_rows, _ = yield from counted(relation, active, _SLOT)
    order = [sql.SQL("generation DESC"), sql.SQL("created_us DESC")]
    ended = yield from duplicates(relation, active, _SLOT, order, ["id"])
    missing = yield from _missing(relation)
    if not dry_run:
        if ended:
            ids = [row.key["id"] for row in ended]
            yield "SELECT count(*) FROM sg_finish(%s::text[], 'repair', 'replaced', sg_now())", [ids]
        for name in missing:
            yield f"DROP INDEX IF EXISTS {name}; CREATE UNIQUE INDEX {name} {_OWN_INDEXES[name]}", None
    return Adopted(rows, active_rows, ended, 0, 0, tuple(missing), dry_run)


def _missing(relation: sql.Composable) -> Script[list[str]]:
    rows = yield (
        "SELECT c.relname::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
        "WHERE i.indrelid = %s::regclass AND i.indisvalid",
        [text(relation)],
    )
    there = {name for (name,) in rows}
    return [name for name in _OWN_INDEXES if name not in there]
