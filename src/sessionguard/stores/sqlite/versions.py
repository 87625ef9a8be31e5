"""Which releases of SQLite can be used, and which have a bug that its users should know."""

import logging
import sqlite3
import threading
from typing import Final

from sessionguard.errors import ConfigurationError

_log = logging.getLogger("sessionguard.sqlite")

Version = tuple[int, int, int]

# STRICT tables (3.37) are the newest feature that the statements need.
_OLDEST: Final[Version] = (3, 37, 0)
# WAL-reset bug: two connections writing and checkpointing at the same instant could damage the database.
# In 3.7.0 to 3.51.2; fixed in 3.51.3 (https://sqlite.org/wal.html, "The WAL-reset bug").
_WAL_RESET_BUG_FROM: Final[Version] = (3, 7, 0)
_WAL_RESET_BUG_UNTIL: Final[Version] = (3, 51, 3)

_warned = threading.Event()


def has_wal_reset_bug(version: Version) -> bool:
    """Tell whether `version` of SQLite can damage a database in WAL mode."""
    return _WAL_RESET_BUG_FROM <= version < _WAL_RESET_BUG_UNTIL


def refuse_too_old(version: Version = sqlite3.sqlite_version_info) -> None:
    """Raise `ConfigurationError` if `version` lacks something that the store needs."""
    if version < _OLDEST:
        raise ConfigurationError(
            "SQLite version", ".".join(map(str, version)), "use a Python built with SQLite 3.37 or newer"
        )


def warn_of_known_bugs(version: Version = sqlite3.sqlite_version_info) -> None:
    """Write one log line a process if `version` has the WAL-reset bug."""
    if has_wal_reset_bug(version) and not _warned.is_set():
        _warned.set()
        _log.warning(
            "SQLite %s has the WAL-reset bug (fixed in 3.51.3): rarely, two processes that checkpoint at one instant "
            "damage the database. Upgrade SQLite, or add ?journal=delete to the store URL. See `sessionguard doctor`.",
            ".".join(map(str, version)),
        )
