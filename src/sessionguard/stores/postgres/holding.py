"""Who keeps a table locked, as far as the server tells: by process, never by the values in a statement."""

import re
from typing import Any, Final

from psycopg import sql

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.postgres.duplicates import text
from sessionguard.stores.postgres.schema import Script
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.translation import NAME

_MOST: Final = 3
_LONGEST: Final = 80
# Where a value may begin, or a comment, in which there may be one.
_VALUE: Final = re.compile(r"""['$]|(?<![\w$])\d|--|/\*""")

_HOLDERS: Final = (
    "SELECT l.pid, max(a.application_name), max(a.state), "
    "max(extract(epoch FROM clock_timestamp() - a.xact_start))::bigint, max(a.query), count(*) OVER () "
    "FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid "
    "WHERE l.locktype = 'relation' AND l.relation = %s::regclass AND l.granted AND l.mode <> 'AccessShareLock' "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND l.pid IS DISTINCT FROM pg_backend_pid() "
    f"GROUP BY l.pid ORDER BY 4 DESC NULLS LAST, 1 LIMIT {_MOST}"
)


def kept_locked(operation: str, relation: sql.Composable, settings: Settings) -> Script[StoreTimeoutError]:
    """Give the error for a table that stayed locked, after a statement that waited in vain; nothing was done."""
    yield "ROLLBACK", None
    yield "BEGIN READ ONLY; SET LOCAL search_path = pg_catalog", None
    rows = yield _HOLDERS, [text(relation)]
    yield "ROLLBACK", None
    who = "; ".join(_told(*row[:5]) for row in rows) or "nobody holds a lock on it any more"
    more = f"; and {rows[0][5] - len(rows)} more" if rows and rows[0][5] > len(rows) else ""
    return StoreTimeoutError(
        NAME, operation, f"others kept {text(relation)} locked for {settings.patience_seconds:g} s, and nothing was "
        f"done. In the way now: {who}{more}. Try at a quiet hour, or end what is in the way, or raise patience in the "
        "store URL (?patience=60): for so long those who write to the table then wait behind this"
    )  # fmt: skip


def _told(pid: int | None, name: str | None, state: str | None, seconds: Any, query: str | None) -> str:
    if pid is None:
        return "a prepared transaction (see pg_prepared_xacts)"
    if state is None:
        return f"process {pid}, of which this role may not see more (GRANT pg_read_all_stats TO it)"
    since = "" if seconds is None else f" for {seconds} s"
    application = f" of {name}" if name else ""
    return f"process {pid}{application}, {state}{since}, last statement: {without_values(query or '')}"


def without_values(query: str) -> str:
    """Give a statement up to its first value: others' data are not ours to show."""
    whole = "".join(letter if letter.isprintable() else " " for letter in query)
    shown = " ".join(_VALUE.split(whole, maxsplit=1)[0].split())[:_LONGEST]
    return shown if shown == query else f"{shown} ..."
