"""Store URLs from Django's DATABASES, so that sessions live where the application's tables do."""

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from sessionguard.adapters.settings import PREFIX
from sessionguard.errors import ConfigurationError

# What Django takes for itself and libpq does not know.
_OF_DJANGO: Final = frozenset({"pool", "server_side_binding", "assume_role", "isolation_level", "cursor_factory"})
_POSTGRES: Final = ("postgresql", "postgis", "psqlextra")


def is_url(text: str) -> bool:
    """Tell whether `text` is a store URL and not a name in DATABASES."""
    return "://" in text


def url_of_alias(alias: str) -> str:
    """Give the store URL of the database that Django knows as `alias`: while tests run, of the test database.

    Raises:
        ConfigurationError: there is none, or no store can be kept in it. No user or password is in the message.
    """
    try:
        database = connections[alias].settings_dict
    except ConnectionDoesNotExist:
        known = ", ".join(sorted(connections))
        raise _refused(alias, f"give a store URL, or a name in DATABASES (there are: {known})") from None
    kind = str(database["ENGINE"]).rpartition(".")[2]
    if kind in {"sqlite3", "spatialite"}:
        return _sqlite(alias, database)
    if kind in _POSTGRES:
        return _postgres(database)
    raise _refused(alias, f"sessions cannot be kept in {kind}; give the URL of a SQLite, PostgreSQL or Redis store")


def _sqlite(alias: str, database: Mapping[str, Any]) -> str:
    path = os.fspath(database["NAME"])
    if not path or ":memory:" in path or path.startswith("file:"):
        raise _refused(alias, f'this database is in memory, as in tests; give {PREFIX}STORE = "memory://" there')
    return f"sqlite:///{os.path.abspath(path)}"


def _postgres(database: Mapping[str, Any]) -> str:
    user, password = (quote(str(database.get(name) or ""), safe="") for name in ("USER", "PASSWORD"))
    host, port = str(database.get("HOST") or ""), str(database.get("PORT") or "")
    options = {
        name: value
        for name, value in (database.get("OPTIONS") or {}).items()
        if name not in _OF_DJANGO and isinstance(value, str | int) and not isinstance(value, bool)
    }
    if host.startswith(("/", "@")):
        # The folder of a socket, which has no place before the path.
        options["host"], host = host, ""
        if port:
            options["port"], port = port, ""
    who = f"{user}{':' if password else ''}{password}@" if user or password else ""
    where = f"{host}{':' if port else ''}{port}"
    query = f"?{urlencode(options, quote_via=quote)}" if options else ""
    return f"postgresql://{who}{where}/{quote(str(database.get('NAME') or ''), safe='')}{query}"


def _refused(alias: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(PREFIX + "STORE", alias, remedy)
