"""Whether a table is as an adoption says: columns, types, rules; and what it says where rows cannot be ended."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import psycopg
from attrs import frozen
from psycopg import sql

from sessionguard.errors import ConfigurationError
from sessionguard.stores.postgres.adoption import NOW, Adoption
from sessionguard.stores.postgres.duplicates import change, condition, text
from sessionguard.stores.postgres.rights import quoted
from sessionguard.stores.postgres.schema import Script

_KINDS: Final = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
# What is wrong with what was said, and not with the server: values, rules of the table, names and types, what triggers
# raise.
_SAID: Final = ("22", "23", "42", "44", "P0")


@frozen
class Table:
    """An application's table."""

    name: str
    oid: int
    schema: str
    relation: sql.Composable
    """Its full name: no search path decides which table it is."""
    owner: str
    lacks: str | None
    """What this role would have to be, or to be given, to make an index of it."""
    columns: Mapping[str, str]
    """Column -> its type, as it is to be shown."""
    key: Mapping[str, str]
    """The columns of its primary key -> their types, as they are to be written."""
    partitioned_by: tuple[str | None, ...]
    """Columns; None: an expression."""
    rules: Mapping[str, str]
    """The name of a constraint or a unique index -> what it asks for."""


def table_of(name: str) -> Script[Table]:
    """Look a table up. Raises `ConfigurationError` if it is not there, or none that can be adopted."""
    full = name if "." in name else f"public.{name}"
    ((found,),) = yield "SELECT to_regclass(%s)::oid", [text(sql.Identifier(*full.split(".")))]
    if found is None:
        raise ConfigurationError("table", name, "there is no such table in this database; name it as schema.table")
    ((schema, relation, kind, owner, role, is_ours, may_create, has_heirs),) = yield _TABLE, [found]
    if kind not in ("r", "p"):
        raise ConfigurationError("table", name, f"it is {_KINDS.get(kind, 'no table')}; name the table itself")
    if kind == "r" and has_heirs:
        remedy = "other tables inherit from it, whose rows no index of it looks at; part them first (NO INHERIT)"
        raise ConfigurationError("table", name, remedy)
    columns = yield _COLUMNS, [found]
    key = yield _KEY, [found]
    if not key:
        raise ConfigurationError("table", name, "it has no primary key, by which its rows could be told apart; add one")
    partitioned_by = yield _PARTITIONED_BY, [found]
    rules = yield _RULES, [found] * 3
    grant = f"GRANT CREATE ON SCHEMA {quoted(schema)} TO {quoted(role)}"
    lacks = None if may_create else f"an index of it is made in its schema: let the owner of that run {grant}"
    if not is_ours:
        lacks = f"only its owner can make an index of it: name the role {owner} in the store URL"
    return Table(
        name, found, schema, sql.Identifier(schema, relation), owner, lacks, dict(columns), dict(key),
        tuple(column for (column,) in partitioned_by), dict(rules),
    )  # fmt: skip


_TABLE: Final = (
    "SELECT n.nspname, c.relname, c.relkind::text, pg_get_userbyid(c.relowner), current_user, "
    "pg_has_role(c.relowner, 'USAGE'), has_schema_privilege(n.oid, 'CREATE'), "
    "EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) "
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %s"
)
_PARTITIONED_BY: Final = (
    "SELECT DISTINCT a.attname FROM pg_partition_tree(%s) AS t JOIN pg_partitioned_table AS p ON p.partrelid = t.relid "
    "CROSS JOIN unnest(p.partattrs) AS number LEFT JOIN pg_attribute AS a "
    "ON a.attrelid = p.partrelid AND a.attnum = number AND number <> 0 ORDER BY 1"
)
_COLUMNS: Final = (
    "SELECT attname, format_type(atttypid, atttypmod) || coalesce("
    "(SELECT ' (' || string_agg(enumlabel, ', ' ORDER BY enumsortorder) || ')' FROM pg_enum WHERE enumtypid = atttypid)"
    ", '') FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)
_KEY: Final = (
    "SELECT a.attname, format_type(a.atttypid, -1) FROM pg_index AS i, "
    "unnest(i.indkey) WITH ORDINALITY AS k (number, position), pg_attribute AS a "
    "WHERE i.indrelid = %s AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.position"
)
_RULES: Final = (
    "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE conrelid = %s OR confrelid = %s "
    "UNION ALL SELECT c.relname::text, pg_get_indexdef(c.oid) FROM pg_index AS i JOIN pg_class AS c "
    "ON c.oid = i.indexrelid WHERE i.indrelid = %s AND i.indisunique "
    "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid)"
)


def require_fit(table: Table, adoption: Adoption) -> Script[None]:
    """Raise `ConfigurationError` unless every column is there and takes what is compared with it or written to it."""
    for setting, names in adoption.columns.items():
        for name in names:
            if name not in table.columns:
                columns = ", ".join(table.columns)
                raise ConfigurationError(setting, name, f"{table.name} has no such column; it has {columns}")
    outside = [column or "an expression" for column in table.partitioned_by if column not in adoption.slot]
    if outside:
        remedy = f"the table is partitioned by {', '.join(outside)}: a unique index of it has that among its columns"
        raise ConfigurationError("slot", ", ".join(adoption.slot), remedy)
    for setting, column, value, statement, remedy in _trials(table, adoption):
        try:
            # Planned and not run: types and values are looked at, and no row, no trigger.
            yield f"EXPLAIN {text(statement)}", None
        except psycopg.Error as error:
            if not _is_said(error):
                raise
            helps = _REMEDIES.get(error.sqlstate or "", remedy)
            told = f"the column is of type {table.columns[column]}, and {_words(error)}; {helps}"
            raise ConfigurationError(setting, value, told) from error


def _trials(table: Table, adoption: Adoption) -> Iterator[tuple[str, str, str, sql.Composable, str]]:
    """Give what was said, about which column, in which words; a statement that fails if it does not fit; a remedy."""
    for setting, names in (("slot", adoption.slot), ("newest", (adoption.newest,))):
        for name in names:
            ordering = sql.SQL("SELECT FROM {} ORDER BY {}").format(table.relation, sql.Identifier(name))
            yield setting, name, name, ordering, "name a column whose values have an order"
    column, value = adoption.active
    matching = sql.SQL("SELECT FROM {} WHERE {}").format(table.relation, condition(adoption.active))
    shown = column if value is None else f"{column}={value}"
    yield "active", column, shown, matching, "give a value of that type, or the column alone for NULL"
    for column, value in adoption.end.items():
        writing = sql.SQL("UPDATE {} SET {}").format(table.relation, change(column, value))
        remedy = "now() is an instant with date and time; " if value == NOW else ""
        yield "end", column, f"{column}={value}", writing, f"{remedy}give what can be written there"


def unfit(table: Table, adoption: Adoption, error: psycopg.Error) -> ConfigurationError | None:
    """Give the error for rows that the table does not let be ended; None if it is for another reason."""
    if not _is_said(error):
        return None
    rule = error.diag.constraint_name
    told = f"the rows cannot be ended so: {_words_without_values(error)}"
    if rule and rule in table.rules:
        told += f" (it is {table.rules[rule]})"
    remedy = _REMEDIES.get(error.sqlstate or "", "say by --end what the table asks for")
    if error.sqlstate == "23502" and error.diag.column_name:
        remedy = f"give a value for it, too: --end {error.diag.column_name}=VALUE"
    return ConfigurationError("end", adoption.ends, f"{told}; {remedy}")


_REMEDIES: Final = {
    "428C9": "the table makes its values itself: leave it out",
    "23503": "give a value that the other table has, or add it there",
    "23505": "give values that may be there more than once",
    "23514": "give what it asks for by --end, if need be for further columns",
    "P0001": "a trigger of the table refuses it: say by --end what that asks for",
}


def unpermitted(table: str, error: psycopg.Error) -> ConfigurationError:
    """Give the error for a role that may not adopt a table."""
    remedy = "name the role that owns the table in the store URL"
    if error.diag.source_function == "check_enable_rls":
        remedy = "name a role from which no policy hides rows: with BYPASSRLS, or the owner of a table without FORCE"
    return ConfigurationError("table", table, f"{_words(error)}; {remedy}")


def _is_said(error: psycopg.Error) -> bool:
    return (error.sqlstate or "").startswith(_SAID) and not isinstance(error, psycopg.errors.InsufficientPrivilege)


def _words(error: psycopg.Error) -> str:
    # Never the detail: it has the values of a row.
    return error.diag.message_primary or type(error).__name__


def _words_without_values(error: psycopg.Error) -> str:
    """Give what is said about rows: names of rules, and what a trigger says by itself; else only where it was."""
    state = error.sqlstate or ""
    if state == "P0001" or state.startswith("23"):
        return _words(error)
    where = re.search(r"function (\S+\(.*?\)) line", error.diag.context or "")
    return f"{type(error).__name__} ({state})" + (f" in the function {where[1]}" if where else "")
