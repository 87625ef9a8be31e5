"""The driver's errors in our words: what happened, whether anything was done, and what helps."""

import sqlite3
from typing import Final

from sessionguard.errors import (
    InvalidArgumentError,
    MisuseError,
    SessionGuardError,
    StoreDataError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from sessionguard.stores.sqlite.retrying import is_busy

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: "free some space; what was stored before is intact",
    sqlite3.SQLITE_IOERR: "see that the disk works and has space within this user's limits",
    sqlite3.SQLITE_READONLY: "let this user write to the file and to its folder",
    sqlite3.SQLITE_CANTOPEN: "see that the file exists and that this user may read it and write to its folder",
}


def is_unwritable(error: BaseException | None) -> bool:
    """Tell whether `error` means that nothing can be written for lack of room or of permission."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)


def translated(operation: str, error: sqlite3.Error | OverflowError) -> SessionGuardError:
    """Give our error for one of the driver's. Messages of SQLite name tables and files, never values."""
    if isinstance(error, OverflowError):
        return InvalidArgumentError(f"a number of {operation}", "beyond 64 bits", "give one that SQLite can hold")
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return MisuseError("the sqlite store is closed; open a new one")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return StoreDataError("sqlite", operation, f"{error}; restore the file from a backup")
    if isinstance(error, sqlite3.IntegrityError):
        return StoreDataError("sqlite", operation, f"the database refused an impossible state ({error})")
    if is_busy(error):
        return StoreTimeoutError("sqlite", operation, "another process kept the database locked")
    remedy = _REMEDIES.get(code)
    return StoreUnavailableError("sqlite", operation, f"{error}; {remedy}" if remedy else str(error))
