"""Who keeps a table locked, as far as the server tells: by process and command, never by the values in a statement."""

import re
from typing import Any, Final

from psycopg import sql

from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.postgres.duplicates import text
from sessionguard.stores.postgres.schema import Script
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.translation import NAME

_MOST: Final = 3
_NAME: Final = r'(?:\w+|"[^"]*")'
_WITH_TABLE: Final = re.compile(
    rf"\s*(INSERT INTO|DELETE FROM|UPDATE|MERGE INTO|LOCK TABLE|ALTER TABLE|TRUNCATE TABLE)\s+({_NAME}(?:\.{_NAME})?)",
    re.IGNORECASE,
)
_ALONE: Final = re.compile(
    r"\s*(SELECT|WITH|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|SET|EXECUTE|FETCH|COPY|CREATE|DROP|CALL|DO|VACUUM|ANALYZE)\b",
    re.IGNORECASE,
)

_HOLDERS: Final = (
    "SELECT l.pid, max(a.application_name), max(a.state), "
    "max(extract(epoch FROM clock_timestamp() - a.xact_start))::bigint, max(a.query), count(*) OVER () "
    "FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid "
    "WHERE l.locktype = 'relation' AND l.relation = %s::regclass AND l.granted AND l.mode <> 'AccessShareLock' "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND l.pid IS DISTINCT FROM pg_backend_pid() "
    f"GROUP BY l.pid ORDER BY 4 DESC NULLS LAST, 1 LIMIT {_MOST}"
)


def rolled_back(operation: str, relation: sql.Composable, settings: Settings) -> Script[StoreTimeoutError]:
    """Roll back after a statement that waited in vain for a lock, and give the error that tells who is in the way."""
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
    return f"process {pid}{application}, {state}{since}, last command: {command_of(query or '')}"


def command_of(query: str) -> str:
    """Give what kind of statement it is, and its table if that is the next word: others' data are not ours to show."""
    found = _WITH_TABLE.match(query) or _ALONE.match(query)
    shown = " ".join(found.groups()) if found else "not known"
    return "".join(letter if letter.isprintable() else " " for letter in shown)
