"""Sessions in one SQLite database file, shared by all processes of one machine."""

from collections.abc import Mapping

from sessionguard.errors import ConfigurationError
from sessionguard.stores.options import patience_in
from sessionguard.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore", "open_sqlite"]

_OPTIONS = {"journal", "patience"}


def open_sqlite(url: str, options: Mapping[str, str]) -> SQLiteStore:
    """Open `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Options: `journal=wal` (the default) or `journal=delete`; `patience=SECONDS`, how long to wait for other writers.
    """
    unknown = set(options) - _OPTIONS
    if unknown:
        # Not named: behind a question mark inside a password, the rest of the password would be an option.
        raise ConfigurationError.of_url(url, f"unknown option; known: {', '.join(sorted(_OPTIONS))}")
    host, slash, path = url.partition("?")[0].partition("://")[2].partition("/")
    if host or not slash:
        raise ConfigurationError.of_url(url, "SQLite knows no hosts; name a file, as in sqlite:///var/sessions.db")
    if path in ("", "/", ":memory:"):
        raise ConfigurationError.of_url(url, "name a file, as in sqlite:///var/sessions.db, or use memory://")
    return SQLiteStore(path, journal_mode=options.get("journal", "wal"), patience_seconds=patience_in(url, options))
