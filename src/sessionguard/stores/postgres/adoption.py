"""Making an application's own table of sessions keep to one active row per slot, and mending ours where it does not.

All in one transaction, under a lock that lets others read but not write: of each slot the newest active row stays, the
others are ended, and a partial unique index sees to it that there are never two again.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from attrs import frozen
from psycopg import sql

from sessionguard.errors import ConfigurationError
from sessionguard.stores.postgres.connections import Connections
from sessionguard.stores.postgres.schema import LONGEST_SECONDS, MIGRATIONS, Script
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.wire import wire_of

NOW: Final = "now()"
"""As the value of a column: the instant of the adoption."""

_LONGEST_NAME: Final = 63
_OWN_INDEXES: Final = dict(re.findall(r"CREATE UNIQUE INDEX (\w+) (.*?);", MIGRATIONS[0][2], re.DOTALL))


def _column(setting: str, name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name.encode()) <= _LONGEST_NAME or "\0" in name:
        raise ConfigurationError(setting, name, "name a column, as it is written in the table")
    return name


def _cut(name: str, length: int) -> str:
    return name.encode()[:length].decode(errors="ignore")


@frozen
class Adoption:
    """Which table, what a slot is in it, which rows are active, which of those is the newest, and how one is ended."""

    table: str
    """The name in the schema public, or schema.name; as it is written in the catalogue."""
    slot: tuple[str, ...]
    active: tuple[str, str | None]
    """A column and the value that it has in active rows; None: it is NULL in them."""
    newest: str
    """The column by which the newest is told: the highest value, and of equal ones the highest primary key."""
    end: Mapping[str, str]
    """Column -> what is written there to end a row."""

    def __attrs_post_init__(self) -> None:
        parts = self.table.split(".") if isinstance(self.table, str) else []
        if len(parts) not in (1, 2) or not all(parts):
            raise ConfigurationError("table", self.table, "name it as table or schema.table")
        if not self.slot:
            raise ConfigurationError(
                "slot", self.slot, "name the columns of which one combination is to be active once"
            )
        for name in (*self.slot, self.newest, self.active[0], *self.end):
            _column("column", name)
        column, value = self.active
        if self.end.get(column, value) == value:
            raise ConfigurationError(
                "end", dict(self.end), f"set {column} to something else than in active rows, so that they are ended"
            )

    @property
    def index(self) -> str:
        """The name of the unique index: of this table and this slot, however long their names are."""
        schema, _, name = self.table.rpartition(".")
        whole = json.dumps([schema or "public", name, *sorted(self.slot)])
        return f"sg_one_active_{_cut(name, 40)}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


@frozen
class Duplicate:
    """An active row beside a newer one of its slot."""

    key: Mapping[str, str]
    """The primary key of the row that is ended."""
    slot: Mapping[str, str]
    kept: Mapping[str, str]
    """The primary key of the row that stays."""


@frozen
class Adopted:
    """What an adoption did, or with `dry_run` would do."""

    ended: tuple[Duplicate, ...]
    without_slot: int
    """Active rows with NULL in a column of the slot: the index does not look at them, and they stay as they are."""
    indexes: tuple[str, ...]
    """The unique indexes that were made."""
    dry_run: bool


def adopt(settings: Settings, adoption: Adoption, *, dry_run: bool = False) -> Adopted:
    """End all active rows but the newest of each slot and make the index, or only tell what would be done."""
    with closing(Connections(settings, wire_of(settings))) as connections:
        return connections.play("adopt", _adopted(adoption, settings, dry_run), LONGEST_SECONDS)


def repair(settings: Settings, *, dry_run: bool = False) -> Adopted:
    """Do the same to our own table, and make any other of its unique indexes that is missing or invalid."""
    with closing(Connections(settings, wire_of(settings))) as connections:
        return connections.play("repair", _repaired(settings, dry_run), LONGEST_SECONDS)


# An application's table


def _adopted(adoption: Adoption, settings: Settings, dry_run: bool) -> Script[Adopted]:
    # Also a dry run may need a table for a moment; it ends in a rollback.
    yield from _begun(settings, False)
    yield "SET LOCAL search_path = public", None
    relation = yield from _relation(adoption.table)
    if not dry_run:
        yield _text(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(relation)), None
    key = yield from _primary_key(adoption.table, relation)
    active = _condition(adoption.active)
    order = [sql.SQL("{} DESC NULLS LAST").format(sql.Identifier(adoption.newest))]
    ended = yield from _duplicates(relation, active, adoption.slot, order, key)
    nothing = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in adoption.slot)
    counting = sql.SQL("SELECT count(*) FROM {} WHERE {} AND ({})").format(relation, active, nothing)
    ((without_slot,),) = yield _text(counting), None
    is_there = yield from _has_index(relation, adoption, active)
    if not dry_run:
        if ended:
            yield _ending(relation, adoption.end, ended), None
        if not is_there:
            yield _indexing(adoption.index, relation, adoption.slot, active), None
    yield "ROLLBACK" if dry_run else "COMMIT", None
    return Adopted(ended, int(without_slot), () if is_there else (adoption.index,), dry_run)


def _begun(settings: Settings, dry_run: bool) -> Script[None]:
    yield f"BEGIN ISOLATION LEVEL READ COMMITTED {'READ ONLY' if dry_run else 'READ WRITE'}", None
    yield f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {settings.patience_ms}", None


def _relation(table: str) -> Script[sql.Composable]:
    parts = sql.Identifier(*table.split("."))
    ((found,),) = yield "SELECT to_regclass(%s)::oid", [_text(parts)]
    if found is None:
        raise ConfigurationError("table", table, "there is no such table in this database; name it as schema.table")
    # By its full name from here on: what the search path leads to is settled.
    ((schema, name),) = yield (
        "SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE c.oid = %s",
        [found],
    )
    return sql.Identifier(schema, name)


def _primary_key(table: str, relation: sql.Composable) -> Script[list[str]]:
    rows = yield (
        "SELECT a.attname "
        "FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS k (number, position), pg_attribute AS a "
        "WHERE i.indrelid = %s::regclass AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.number "
        "ORDER BY k.position",
        [_text(relation)],
    )
    if not rows:
        raise ConfigurationError(
            "table", table, "it has no primary key, by which its rows could be told apart; add one"
        )
    return [name for (name,) in rows]


def _duplicates(
    relation: sql.Composable, active: sql.Composable, slot: tuple[str, ...], order: list[sql.Composed], key: list[str]
) -> Script[tuple[Duplicate, ...]]:
    columns = sql.SQL(", ").join(map(sql.Identifier, slot))
    by_key = [sql.SQL("{} DESC").format(sql.Identifier(name)) for name in key]
    shown = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in (*key, *slot)]
    kept = [sql.SQL("first_value({}::text) OVER newest_first").format(sql.Identifier(name)) for name in key]
    filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in slot)
    ranked = sql.SQL(
        "SELECT row_number() OVER newest_first, {} FROM {} WHERE {} AND {} "
        "WINDOW newest_first AS (PARTITION BY {} ORDER BY {})"
    ).format(
        sql.SQL(", ").join([*shown, *kept]), relation, active, filled, columns, sql.SQL(", ").join([*order, *by_key])
    )
    rows = yield _text(ranked), None
    return tuple(_duplicate(row[1:], key, slot) for row in rows if row[0] > 1)


def _duplicate(values: tuple[Any, ...], key: list[str], slot: tuple[str, ...]) -> Duplicate:
    width = len(key)
    return Duplicate(
        dict(zip(key, values, strict=False)),
        dict(zip(slot, values[width:], strict=False)),
        dict(zip(key, values[width + len(slot) :], strict=True)),
    )


def _condition(active: tuple[str, str | None]) -> sql.Composable:
    column, value = active
    if value is None:
        return sql.SQL("{} IS NULL").format(sql.Identifier(column))
    return sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value))


def _ending(relation: sql.Composable, end: Mapping[str, str], ended: tuple[Duplicate, ...]) -> str:
    changes = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.SQL(NOW) if value == NOW else sql.Literal(value))
        for name, value in end.items()
    )
    # Joined, for a list of rows is searched from its beginning for each row of the table.
    names = {f"key_{number}": name for number, name in enumerate(ended[0].key)}
    values = [sql.SQL("{}::text[]").format(sql.Literal([row.key[name] for row in ended])) for name in names.values()]
    same = [
        sql.SQL("one.{}::text = gone.{}").format(sql.Identifier(name), sql.Identifier(place))
        for place, name in names.items()
    ]
    return _text(
        sql.SQL("UPDATE {} AS one SET {} FROM unnest({}) AS gone ({}) WHERE {}").format(
            relation, changes, sql.SQL(", ").join(values), sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(" AND ").join(same),
        )
    )  # fmt: skip


def _indexing(name: str, relation: sql.Composable, slot: tuple[str, ...], active: sql.Composable) -> str:
    columns = sql.SQL(", ").join(map(sql.Identifier, slot))
    return _text(
        sql.SQL("CREATE UNIQUE INDEX {} ON {} ({}) WHERE {}").format(sql.Identifier(name), relation, columns, active)
    )


def _has_index(relation: sql.Composable, adoption: Adoption, active: sql.Composable) -> Script[bool]:
    """Tell whether the index is there. Raises `ConfigurationError` if what has its name is another one."""
    name = adoption.index
    rows = yield _SHAPE, [_text(relation), name]
    if not rows:
        return False
    # The server writes conditions in its own words: it is asked for the same about an index that is right.
    probe = sql.Identifier("pg_temp", "sg_probe")
    yield _text(sql.SQL("CREATE TEMPORARY TABLE sg_probe (LIKE {}) ON COMMIT DROP").format(relation)), None
    yield _indexing("sg_probe_index", probe, adoption.slot, active), None
    right = yield _SHAPE, [_text(probe), "sg_probe_index"]
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


def _text(composed: sql.Composable) -> str:
    return composed.as_string(None)


# Our own table


def _repaired(settings: Settings, dry_run: bool) -> Script[Adopted]:
    relation = sql.Identifier(settings.schema, "sg_session")
    yield from _begun(settings, dry_run)
    yield f'SET LOCAL search_path = "{settings.schema}", pg_temp', None
    if not dry_run:
        yield _text(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(relation)), None
    active = sql.SQL("active AND seat IS NOT NULL")
    order = [sql.SQL("generation DESC"), sql.SQL("created_us DESC")]
    ended = yield from _duplicates(relation, active, ("scope", "owner", "external_id"), _composed(order), ["id"])
    missing = []
    for name in _OWN_INDEXES:
        rows = yield (
            "SELECT i.indisvalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = %s::regclass AND c.relname = %s",
            [_text(relation), name],
        )
        if not rows or not rows[0][0]:
            missing.append(name)
    if not dry_run:
        if ended:
            ids = [row.key["id"] for row in ended]
            yield "SELECT count(*) FROM sg_finish(%s::text[], 'repair', 'replaced', sg_now())", [ids]
        for name in missing:
            yield f"DROP INDEX IF EXISTS {name}; CREATE UNIQUE INDEX {name} {_OWN_INDEXES[name]}", None
    yield "ROLLBACK" if dry_run else "COMMIT", None
    return Adopted(ended, 0, tuple(missing), dry_run)


def _composed(parts: list[sql.SQL]) -> list[sql.Composed]:
    return [sql.Composed([part]) for part in parts]
