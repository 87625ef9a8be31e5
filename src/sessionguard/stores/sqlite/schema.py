"""Schema versions: numbered SQL files, each applied whole or not at all, by one process at a time."""

import re
import sqlite3
from importlib.resources import files
from typing import Final

from sessionguard.core.tokens import shard_of, shard_tag
from sessionguard.errors import StoreDataError
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.sqlite.retrying import until_free


def _migrations() -> tuple[tuple[int, str, str], ...]:
    folder = files(__package__).joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple((int(name[:4]), name, folder.joinpath(name).read_text(encoding="utf-8")) for name in names)


MIGRATIONS: Final = _migrations()
_DEPLOYMENT_ID: Final = "SELECT value FROM sg_meta WHERE name = 'deployment_id'"
NEWEST: Final = MIGRATIONS[-1][0]


def version_of(connection: sqlite3.Connection) -> int:
    """Give the schema version of the database; 0 if it holds no tables of ours."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sg_schema'").fetchone()
    if known is None:
        return 0
    (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM sg_schema").fetchone()
    return int(version)


def due(connection: sqlite3.Connection) -> list[str]:
    """Name the migrations that the database still needs.

    Raises:
        StoreDataError: a newer release has migrated it further than this one knows.
    """
    version = version_of(connection)
    if version > NEWEST:
        raise StoreDataError(
            "sqlite", "connect", f"the database has schema version {version}, this release knows {NEWEST}; upgrade "
            "sessionguard here, or give this release a database of its own"
        )  # fmt: skip
    return [name for number, name, _ in MIGRATIONS if number > version]


def migrate(connection: sqlite3.Connection, deadline: Deadline) -> list[str]:
    """Bring the database to the newest schema and name what was applied; several processes may try at once."""

    def attempt() -> list[str]:
        if not due(connection):
            return []
        try:
            connection.execute("BEGIN IMMEDIATE")
            # Read again under the lock: another process may have migrated while this one waited.
            applied = due(connection)
            _apply(connection, applied)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
        return applied

    return until_free("migrate", attempt, deadline)


def _apply(connection: sqlite3.Connection, names: list[str]) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS sg_schema (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT"
    )
    (deployment_id,) = connection.execute(_DEPLOYMENT_ID).fetchone() if version_of(connection) else ("",)
    # For statements of migrations alone.
    connection.create_function("sg_shard", 1, lambda owner: bytes.fromhex(shard_tag(deployment_id, owner)))
    connection.create_function("sg_shard_of", 1, lambda session_id: bytes.fromhex(shard_of(session_id)))
    for number, name, text in MIGRATIONS:
        if name in names:
            for statement in _statements(text):
                connection.execute(statement)
            connection.execute("INSERT INTO sg_schema VALUES (?, datetime('now'))", (number,))


def _statements(text: str) -> list[str]:
    # executescript would commit the transaction that makes a migration whole, so the statements are run one by one.
    statements, current = [], ""
    for piece in re.split("(?<=;)", text):
        current += piece
        # Not every semicolon ends a statement: some stand in comments, texts and triggers.
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return [*statements, current] if current.strip() else statements
