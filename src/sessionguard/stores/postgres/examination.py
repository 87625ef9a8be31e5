"""What `sessionguard doctor` looks at in a PostgreSQL store. Nothing here changes the database."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from sessionguard.core.findings import Finding
from sessionguard.errors import ConfigurationError, StoreError
from sessionguard.stores.postgres.async_connections import AsyncConnections
from sessionguard.stores.postgres.connections import Connections
from sessionguard.stores.postgres.indexes import wrong_indexes
from sessionguard.stores.postgres.rights import grants
from sessionguard.stores.postgres.schema import MIGRATIONS, NEWEST, Script, version_of
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.translation import ON_THE_PRIMARY

_TABLES: Final = ("sg_session", "sg_lock", "sg_operation", "sg_store", "sg_schema")
_LARGEST_SKEW_SECONDS: Final = 5.0

Facts = dict[str, str]


def examine(connections: Connections, settings: Settings) -> list[Finding]:
    """Give one finding per subject, the good ones too."""
    try:
        return connections.play("examine", _examined(settings), settings.answer_seconds)
    except (StoreError, ConfigurationError) as error:
        return [_unreachable(error)]


async def examine_async(connections: AsyncConnections, settings: Settings) -> list[Finding]:
    """The same for an event loop."""
    try:
        return await connections.play("examine", _examined(settings), settings.answer_seconds)
    except (StoreError, ConfigurationError) as error:
        return [_unreachable(error)]


def _unreachable(error: StoreError | ConfigurationError) -> Finding:
    return Finding("problem", "server", str(error), "mend what the message names, then examine again")


def _examined(settings: Settings) -> Script[list[Finding]]:
    findings: list[Finding] = []
    rows = yield (
        "SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'fsync', 'full_page_writes', "
        "'synchronous_commit', 'synchronous_standby_names', 'max_connections', 'superuser_reserved_connections', "
        "'default_transaction_isolation', 'default_transaction_read_only', 'lock_timeout')",
        None,
    )
    facts: Facts = dict(rows)
    for look in (_version, _durability, _connections, _session_settings):
        findings += look(facts, settings)
    began = time.time()
    ((is_standby, server_now),) = yield (
        "SELECT pg_is_in_recovery(), extract(epoch FROM clock_timestamp())::float8",
        None,
    )
    findings.append(_standby(bool(is_standby)))
    findings.append(_clock(server_now, began, time.time()))
    version = yield from version_of(settings.schema)
    findings.append(_schema(version, settings.schema))
    if version:
        findings += yield from _contents(settings.schema)
    return findings


def _version(facts: Facts, settings: Settings) -> Iterator[Finding]:
    yield Finding("ok", "PostgreSQL", f"version {facts['server_version']}")


def _durability(facts: Facts, settings: Settings) -> Iterator[Finding]:
    off = [name for name in ("fsync", "full_page_writes") if facts.get(name) == "off"]
    commit = facts.get("synchronous_commit", "")
    if off:
        yield Finding(
            "problem", "durability", f"{' and '.join(off)} off: a crash of the machine can destroy the database",
            f"set {' and '.join(f'{name} = on' for name in off)} in postgresql.conf",
        )  # fmt: skip
    elif commit == "off":
        yield Finding(
            "warning", "durability", "synchronous_commit is off: a crash of the server loses the last acknowledged "
            "changes, also logouts", "set synchronous_commit = on, for the server or for this role",
        )  # fmt: skip
    elif facts.get("synchronous_standby_names") and commit in ("on", "remote_write", "remote_apply"):
        yield Finding("ok", "durability", f"on disk here and on a standby (synchronous_commit = {commit})")
    else:
        yield Finding(
            "ok", "durability", f"on disk of this server (synchronous_commit = {commit}); a failover to a standby that "
            "lags behind loses the last changes",
        )  # fmt: skip


def _connections(facts: Facts, settings: Settings) -> Iterator[Finding]:
    room = int(facts["max_connections"]) - int(facts.get("superuser_reserved_connections", "0"))
    message = f"{room} for all; each process of yours takes up to {settings.pool_size}"
    if settings.pool_size * 4 > room:
        remedy = "use fewer (pool=N in the store URL), raise max_connections, or put a proxy in between"
        yield Finding("warning", "connections", message, remedy)
    else:
        yield Finding("ok", "connections", message)


def _session_settings(facts: Facts, settings: Settings) -> Iterator[Finding]:
    if settings.prepare and facts.get("lock_timeout", "0") == "0":
        yield Finding(
            "warning", "proxy", "a proxy in between drops the settings of a connection: timeouts are not in force",
            "add prepare=false to the store URL",
        )  # fmt: skip
    elif settings.prepare:
        yield Finding("ok", "proxy", "statements are prepared; settings of a connection are in force")
    else:
        defaults = facts.get("default_transaction_isolation", ""), facts.get("default_transaction_read_only", "")
        yield Finding(
            "ok", "proxy", "nothing is left on a connection (prepare=false); every transaction says what it needs "
            f"(defaults here: {defaults[0]}, read only {defaults[1]})",
        )  # fmt: skip


def _standby(is_standby: bool) -> Finding:
    if not is_standby:
        return Finding("ok", "role", "primary")
    return Finding(
        "problem", "role", "the server is a standby, where nothing can be written",
        ON_THE_PRIMARY,
    )  # fmt: skip


def _clock(server_now: float, began: float, ended: float) -> Finding:
    skew = max(0.0, began - server_now, server_now - ended)
    if skew <= _LARGEST_SKEW_SECONDS:
        return Finding("ok", "clock", f"host and server differ by less than {max(skew, 0.001):.3f} s")
    return Finding(
        "warning", "clock", f"host and server differ by {skew:.0f} s; sessions go by the clock of the server",
        "keep both by NTP",
    )  # fmt: skip


def _schema(version: int, schema: str) -> Finding:
    message = f"{schema}: version {version} of {NEWEST}"
    if version == NEWEST:
        return Finding("ok", "schema", message)
    if version > NEWEST:
        return Finding("problem", "schema", message, "upgrade sessionguard here")
    names = ", ".join(name for number, name, _ in MIGRATIONS if number > version)
    remedy = "it is migrated at first use, or by `sessionguard migrate`"
    return Finding("warning", "schema", f"{message}; due: {names}", remedy)


def _contents(schema: str) -> Script[list[Finding]]:
    ((role,),) = yield "SELECT current_user::text", None
    missing = yield from _missing_privileges(schema)
    if missing:
        remedy = f"let the owner of the schema run: {grants(schema, role)}"
        return [Finding("problem", "privileges", f"the role {role} may not use {', '.join(missing)}", remedy)]
    findings = [Finding("ok", "privileges", f"the role {role} may read and write all tables")]
    findings.append((yield from _indexes(schema)))
    findings.append((yield from _slots(schema)))
    return findings


def _missing_privileges(schema: str) -> Script[list[str]]:
    rows = yield (
        "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(%s || name) IS NULL "
        "OR NOT has_table_privilege(to_regclass(%s || name), 'SELECT') "
        "OR (name <> 'sg_schema' AND NOT (has_table_privilege(to_regclass(%s || name), 'INSERT') "
        "AND has_table_privilege(to_regclass(%s || name), 'UPDATE') "
        "AND has_table_privilege(to_regclass(%s || name), 'DELETE')))",
        [list(_TABLES), *([f'"{schema}".'] * 5)],
    )
    return [name for (name,) in rows]


def _indexes(schema: str) -> Script[Finding]:
    wrong, invalid = yield from wrong_indexes(schema)
    if wrong:
        remedy = "run `sessionguard adopt --repair`, which ends duplicates and makes the index anew"
        return Finding("problem", "indexes", f"missing, or not as they should be: {', '.join(wrong)}", remedy)
    if invalid:
        names = [f"{schema}.{name}" for name in invalid]
        return Finding("problem", "indexes", f"invalid: {', '.join(names)}", _reindexing(names))
    return Finding("ok", "indexes", "all there and valid")


def _reindexing(names: Sequence[str]) -> str:
    return f"let the owner of the schema run: {'; '.join(f'REINDEX INDEX {name}' for name in names)}"


def _slots(schema: str) -> Script[Finding]:
    ((doubled,),) = yield (
        f'SELECT count(*) FROM (SELECT FROM "{schema}".sg_session WHERE active AND seat IS NOT NULL '
        "GROUP BY owner, scope, external_id, seat HAVING count(*) > 1) AS doubled",
        None,
    )
    if doubled:
        remedy = "run `sessionguard adopt --repair`, which keeps the newest of each"
        return Finding("problem", "slots", f"{doubled} slots hold several active sessions", remedy)
    return Finding("ok", "slots", "none holds two active sessions")
