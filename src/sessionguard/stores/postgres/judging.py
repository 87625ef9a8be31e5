"""The partial unique index that keeps an adopted table to one active row per slot: found, or made."""

from typing import Final

import psycopg
from psycopg import sql

from sessionguard.errors import ConfigurationError
from sessionguard.stores.postgres.adoption import Adoption
from sessionguard.stores.postgres.duplicates import condition, text
from sessionguard.stores.postgres.fitting import Table
from sessionguard.stores.postgres.schema import Script

_NAMED: Final = (
    "SELECT i.indrelid FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid "
    "WHERE c.relname = %s AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = %s)"
)


def index_is_there(table: Table, adoption: Adoption) -> Script[bool]:
    """Tell whether the index is there.

    Raises:
        ConfigurationError: something else has its name, or it is to be made and this role cannot.
    """
    rows = yield _NAMED, [adoption.index, table.oid]
    if not rows:
        if table.lacks is not None:
            raise ConfigurationError("table", table.name, table.lacks)
        return False
    if rows != [(table.oid,)]:
        remedy = "its name is taken by something that is no index of this table; rename or drop that first"
        raise ConfigurationError("index", adoption.index, remedy)
    if adoption.index not in (yield from _arbiters(table, adoption)):
        columns = ", ".join(adoption.slot)
        remedy = f"it is there, but no valid unique index on {columns} of the active rows; drop it first"
        raise ConfigurationError("index", adoption.index, remedy)
    return True


def _arbiters(table: Table, adoption: Adoption) -> Script[list[str]]:
    # The server itself is asked which indexes judge the slot: it knows what a condition means, however it is written.
    asking = sql.SQL("EXPLAIN (FORMAT JSON) INSERT INTO {} DEFAULT VALUES ON CONFLICT ({}) WHERE {} DO NOTHING")
    try:
        ((plans,),) = yield (
            text(asking.format(table.relation, _columns(adoption), condition(adoption.active))),
            None,
        )
    except psycopg.errors.InvalidColumnReference:
        return []
    return list(plans[0]["Plan"].get("Conflict Arbiter Indexes", ()))


def make_index(table: Table, adoption: Adoption) -> Script[None]:
    """Make it. Raises `ConfigurationError` if a value of the slot is too long for an index."""
    making = sql.SQL("CREATE UNIQUE INDEX {} ON {} ({}) WHERE {}").format(
        sql.Identifier(adoption.index), table.relation, _columns(adoption), condition(adoption.active)
    )
    try:
        yield text(making), None
    except psycopg.errors.ProgramLimitExceeded as error:
        remedy = f"{error.diag.message_primary}; name columns whose values are shorter"
        raise ConfigurationError("slot", ", ".join(adoption.slot), remedy) from error


def _columns(adoption: Adoption) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, adoption.slot))
