"""The SQL about rows that are active beside a newer one of their slot: finding them and ending them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg import sql

from sessionguard.stores.postgres.adoption import NOW, Duplicate
from sessionguard.stores.postgres.schema import Script


def condition(active: tuple[str, str | None]) -> sql.Composable:
    """Give what is true of active rows."""
    column, value = active
    if value is None:
        return sql.SQL("{} IS NULL").format(sql.Identifier(column))
    return sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value))


def newest_first(column: str) -> sql.Composable:
    """Give the order by which the first row is the one that stays."""
    return sql.SQL("{} DESC NULLS LAST").format(sql.Identifier(column))


def counted(relation: sql.Composable, active: sql.Composable, slot: Sequence[str]) -> Script[tuple[int, int, int]]:
    """Count the rows, the active ones, and of those the ones with NULL in a column of the slot."""
    nothing = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in slot)
    counting = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE {0}), count(*) FILTER (WHERE {0} AND ({1})) FROM {2}"
    ).format(active, nothing, relation)
    ((rows, active_rows, without_slot),) = yield text(counting), None
    return int(rows), int(active_rows), int(without_slot)


def duplicates(
    relation: sql.Composable,
    active: sql.Composable,
    slot: Sequence[str],
    order: Sequence[sql.Composable],
    key: Iterable[str],
) -> Script[tuple[Duplicate, ...]]:
    """Find them; `order` puts the row that stays first, and of equal ones the highest primary `key` does."""
    key = list(key)
    by_key = [sql.SQL("{} DESC").format(sql.Identifier(name)) for name in key]
    shown = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in (*key, *slot)]
    kept = [sql.SQL("first_value({}::text) OVER newest_first").format(sql.Identifier(name)) for name in key]
    filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in slot)
    ranked = sql.SQL(
        "SELECT row_number() OVER newest_first, {} FROM {} WHERE {} AND {} "
        "WINDOW newest_first AS (PARTITION BY {} ORDER BY {})"
    ).format(
        _listed([*shown, *kept]), relation, active, filled, _listed(map(sql.Identifier, slot)),
        _listed([*order, *by_key]),
    )  # fmt: skip
    # Chosen by the server: the rows that stay may be many more than fit into memory here.
    names = [sql.Identifier(f"sg_{number}") for number in range(1 + len(shown) + len(kept))]
    chosen = sql.SQL("SELECT {} FROM ({}) AS ranked ({}) WHERE sg_0 > 1").format(
        _listed(names[1:]), ranked, _listed(names)
    )
    rows = yield text(chosen), None
    return tuple(_duplicate(row, key, slot) for row in rows)


def _duplicate(values: tuple[Any, ...], key: Sequence[str], slot: Sequence[str]) -> Duplicate:
    width = len(key)
    return Duplicate(
        dict(zip(key, values, strict=False)),
        dict(zip(slot, values[width:], strict=False)),
        dict(zip(key, values[width + len(slot) :], strict=True)),
    )


def locked_at_once(
    relation: sql.Composable, key: Mapping[str, str], rows: Sequence[Duplicate]
) -> Script[tuple[Duplicate, ...]]:
    """Lock those that nobody else has locked, without waiting, and give them; `key`: column -> type."""
    shown = _listed(sql.SQL("one.{}::text").format(sql.Identifier(name)) for name in key)
    locking = sql.SQL("SELECT {} FROM {} AS one, {} FOR UPDATE OF one SKIP LOCKED").format(
        shown, relation, _joined(key, rows)
    )
    free = yield text(locking), None
    keys = set(free)
    return tuple(row for row in rows if tuple(row.key.values()) in keys)


def ending_statement(
    relation: sql.Composable, key: Mapping[str, str], end: Mapping[str, str], rows: Sequence[Duplicate]
) -> str:
    """Give what ends these rows; `key`: column -> type."""
    changes = _listed(change(name, value) for name, value in end.items())
    return text(sql.SQL("UPDATE {} AS one SET {} FROM {}").format(relation, changes, _joined(key, rows)))


def counted_active(
    relation: sql.Composable, active: sql.Composable, key: Mapping[str, str], rows: Sequence[Duplicate]
) -> Script[int]:
    """Count those of these rows that are active; `key`: column -> type."""
    # The condition names columns without their table, so nothing else may stand beside that.
    living = sql.SQL("(SELECT * FROM {} WHERE {})").format(relation, active)
    ((count,),) = yield text(sql.SQL("SELECT count(*) FROM {} AS one, {}").format(living, _joined(key, rows))), None
    return int(count)


def change(column: str, value: str) -> sql.Composable:
    """Give what writes a value to a column."""
    written = sql.SQL(NOW) if value == NOW else sql.Literal(value)
    return sql.SQL("{} = {}").format(sql.Identifier(column), written)


def _joined(key: Mapping[str, str], rows: Sequence[Duplicate]) -> sql.Composable:
    # Joined, for a list of rows is searched from its beginning for each row of the table. In the types of the key, so
    # that a few rows are found by its index.
    names = {f"key_{number}": name for number, name in enumerate(key)}
    values = [sql.SQL("{}::text[]").format(sql.Literal([row.key[name] for row in rows])) for name in names.values()]
    same = [
        sql.SQL("one.{} = gone.{}::{}").format(sql.Identifier(name), sql.Identifier(place), sql.SQL(key[name]))
        for place, name in names.items()
    ]
    return sql.SQL("unnest({}) AS gone ({}) WHERE {}").format(
        _listed(values), _listed(map(sql.Identifier, names)), sql.SQL(" AND ").join(same)
    )


def text(composed: sql.Composable) -> str:
    """Give a statement as it is sent."""
    return composed.as_string(None)


def _listed(parts: Iterable[sql.Composable]) -> sql.Composable:
    return sql.SQL(", ").join(parts)
