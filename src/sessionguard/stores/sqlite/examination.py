"""What `sessionguard doctor` looks at in a SQLite store. Nothing here changes the database."""

import os
import sqlite3
import stat
from collections.abc import Iterator

from sessionguard.core.findings import Finding
from sessionguard.errors import StoreError
from sessionguard.stores.sqlite import placement, schema
from sessionguard.stores.sqlite.connections import Connections
from sessionguard.stores.sqlite.translation import translated
from sessionguard.stores.sqlite.versions import has_wal_reset_bug


def examine(path: str, connections: Connections) -> list[Finding]:
    """Give one finding per subject, the good ones too."""
    findings = [_library()]
    if placement.identity_of(path) is None:
        return [*findings, Finding("warning", "file", f"{path} does not exist yet", "it is made at first use")]
    findings += [_place(path), _permissions(path)]
    try:
        # Apart from the pool, whose connections migrate as they open.
        with connections.apart() as connection:
            findings += _database(connection)
    except (sqlite3.Error, StoreError) as error:
        reason = translated("examine", error) if isinstance(error, sqlite3.Error) else error
        findings.append(Finding("problem", "database", str(reason), "restore the file from a backup if it is damaged"))
    return findings


def due_migrations(path: str, connections: Connections) -> list[str]:
    """Name the migrations that the file at `path` still needs; a file that does not exist needs all."""
    if placement.identity_of(path) is None:
        return [name for _, name, _ in schema.MIGRATIONS]
    try:
        with connections.apart() as connection:
            return schema.due(connection)
    except sqlite3.Error as error:
        raise translated("migrate", error) from error


def _library() -> Finding:
    version = sqlite3.sqlite_version
    if not has_wal_reset_bug(sqlite3.sqlite_version_info):
        return Finding("ok", "SQLite", f"version {version}")
    return Finding(
        "warning",
        "SQLite",
        f"version {version} has the WAL-reset bug: rarely, two processes checkpointing at one instant damage the file",
        "upgrade to SQLite 3.51.3 or newer, or add ?journal=delete to the store URL",
    )


def _place(path: str) -> Finding:
    file_system = placement.current_file_system(path)
    if placement.is_network(file_system):
        return Finding("problem", "place", f"{path} lies on {file_system}", "move it to a local disk")
    return Finding("ok", "place", f"{path} ({file_system or 'file system unknown'})")


def _permissions(path: str) -> Finding:
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        return Finding("warning", "permissions", f"others may use the file ({mode:04o})", f"chmod 600 {path}")
    return Finding("ok", "permissions", f"{mode:04o}")


def _database(connection: sqlite3.Connection) -> Iterator[Finding]:
    due = schema.due(connection)
    version = f"version {schema.version_of(connection)} of {schema.NEWEST}"
    if due:
        remedy = "it is brought up to date at first use, or by `sessionguard migrate`"
        yield Finding("warning", "schema", f"{version}; due: {', '.join(due)}", remedy)
    else:
        yield Finding("ok", "schema", version)
    yield Finding("ok", "journal", str(connection.execute("PRAGMA journal_mode").fetchone()[0]))
    check = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if check == "ok":
        yield Finding("ok", "integrity", "quick_check found nothing")
    else:
        yield Finding("problem", "integrity", str(check), "restore the file from a backup")
