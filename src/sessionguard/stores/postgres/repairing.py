"""Mending our own table where an index of it is missing or wrong, and so a slot may hold several active sessions."""

from contextlib import closing
from typing import Final

import psycopg
from psycopg import sql

from sessionguard.stores.postgres.adopting import begun
from sessionguard.stores.postgres.adoption import Adopted
from sessionguard.stores.postgres.connections import Connections
from sessionguard.stores.postgres.duplicates import counted, duplicates, text
from sessionguard.stores.postgres.holding import rolled_back
from sessionguard.stores.postgres.indexes import OWN_INDEXES, wrong_indexes
from sessionguard.stores.postgres.schema import LONGEST_SECONDS, Script
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.wire import wire_of

_SLOT: Final = ("scope", "owner", "external_id")


def repair(settings: Settings, *, dry_run: bool = False) -> Adopted:
    """Of each slot of our own table leave the newest session, and make its indexes that are missing or wrong.

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
        repaired = yield from _mended(relation, settings.schema, dry_run)
    except psycopg.errors.LockNotAvailable as error:
        raise (yield from rolled_back("repair", relation, settings)) from error
    yield "ROLLBACK" if dry_run else "COMMIT", None
    return repaired


def _mended(relation: sql.Composable, schema: str, dry_run: bool) -> Script[Adopted]:
    if not dry_run:
        yield text(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(relation)), None
    active = sql.SQL("active AND seat IS NOT NULL")
    rows, active_rows, _ = yield from counted(relation, active, _SLOT)
    order = [sql.SQL("generation DESC"), sql.SQL("created_us DESC")]
    ended = yield from duplicates(relation, active, _SLOT, order, ["id"])
    wrong, invalid = yield from wrong_indexes(schema)
    anew = [*wrong, *invalid]
    ((doubled,),) = yield f"SELECT count(*) FROM ({_DOUBLED}) AS doubled", None
    if not dry_run:
        if ended:
            ids = [row.key["id"] for row in ended]
            yield "SELECT count(*) FROM sg_finish(%s::text[], 'repair', 'replaced', sg_now())", [ids]
        for name in anew:
            yield f"DROP INDEX IF EXISTS {name}", None
        if doubled:
            yield f"UPDATE sg_session AS s SET generation = d.fresh FROM ({_DOUBLED}) AS d WHERE s.id = d.id", None
        for name in anew:
            yield OWN_INDEXES[name], None
    return Adopted(rows, active_rows, ended, 0, 0, tuple(anew), dry_run, int(doubled))


_DOUBLED: Final = (
    "SELECT id, top + row_number() OVER (PARTITION BY owner, scope, external_id ORDER BY created_us, id) AS fresh "
    "FROM (SELECT id, owner, scope, external_id, created_us, "
    "max(generation) OVER (PARTITION BY owner, scope, external_id) AS top, row_number() OVER "
    "(PARTITION BY owner, scope, external_id, generation ORDER BY active DESC, created_us DESC, id DESC) AS nth "
    "FROM sg_session WHERE seat IS NOT NULL) AS ranked WHERE nth > 1"
)
"""Sessions with the generation of another one of their slot, and a fresh one for each; who is active keeps its."""
