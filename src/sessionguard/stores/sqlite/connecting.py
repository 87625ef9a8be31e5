"""Opening one connection to a database file: where the file may be, what is set on it, and what it can compute."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field

from sessionguard.errors import ConfigurationError, StoreTimeoutError
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.sqlite import placement, rows
from sessionguard.stores.sqlite.retrying import until_free
from sessionguard.stores.sqlite.versions import refuse_too_old, warn_of_known_bugs


@define(eq=False)
class Connection:
    """A connection of SQLite, its epoch in the pool, and which files it has open.

    It is gone as soon as nobody refers to it; one of `sqlite3` is part of a cycle and stays until one is looked for.
    """

    sqlite: sqlite3.Connection
    epoch: object
    file: placement.FileIdentity | None
    log: placement.FileIdentity | None = None
    logs: frozenset[placement.FileIdentity] = frozenset()
    folder_changed_ns: int = 0
    """When the folder had last changed as its log was last found in place."""
    is_migrated: bool = False
    raised: list[BaseException] = field(factory=list)

    def raise_what_a_function_raised(self) -> None:
        """Raise what one of our SQL functions raised, for SQLite says only that it did."""
        if self.raised:
            # By no variable: frame and traceback would refer to each other, and keep this connection.
            raise self.raised.pop()


def connect(path: str, mode: str) -> sqlite3.Connection:
    """Open the file at `path`, which must exist, by a mode of SQLite's URIs: "rw" or "ro"."""
    # By URI, for it alone has a mode that never makes a file: only `create_privately` may.
    return sqlite3.connect(
        f"{Path(path).as_uri()}?mode={mode}",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )


def prepare_file(path: str, journal_mode: str) -> None:
    """Make the file if it does not exist; refuse a place or a SQLite that would lose data."""
    refuse_too_old()
    try:
        placement.create_privately(path)
    except OSError as error:
        raise ConfigurationError(
            "sqlite path", path, f"it cannot be created ({error.strerror}); name a folder you may write to"
        ) from error
    placement.refuse_network_file_system(path, placement.current_file_system(path))
    if journal_mode == "wal":
        warn_of_known_bugs()


def configure(connection: Connection, path: str, journal_mode: str, deadline: Deadline) -> None:
    """Set what the statements rely on."""
    sqlite, raised = connection.sqlite, connection.raised
    sqlite.create_function("sg_merge", 3, _told(rows.sg_merge, raised), deterministic=True)
    sqlite.create_function("sg_size", 4, _told(rows.sg_size, raised), deterministic=True)
    try:
        until_free("connect", lambda: _set_pragmas(sqlite, journal_mode), deadline)
    except StoreTimeoutError as error:
        (found,) = sqlite.execute("PRAGMA journal_mode").fetchone()
        if found == journal_mode:
            raise
        raise ConfigurationError(
            "journal", journal_mode, f"others use {path} with journal={found}; give all the same setting"
        ) from error


def _set_pragmas(sqlite: sqlite3.Connection, journal_mode: str) -> None:
    sqlite.execute(f"PRAGMA journal_mode = {journal_mode}")
    sqlite.execute("PRAGMA synchronous = FULL")
    sqlite.execute("PRAGMA trusted_schema = OFF")


def _told(function: Callable[..., Any], raised: list[BaseException]) -> Callable[..., Any]:
    # It may be a signal handler that raises in there, to end the request or the program. One that strikes before
    # the first line of `call` is lost in sqlite3; its caller gets the outage that sqlite3 makes of it.
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except BaseException as error:
            raised.append(error)
            raise

    return call
