"""Sessions in a PostgreSQL database, shared by all processes that reach it; blocking and async."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from sessionguard.errors import ConfigurationError, MissingExtraError

try:
    import psycopg  # noqa: F401 - looked for here, so that its absence is told by the name of the extra
except ImportError as error:
    raise MissingExtraError("postgres", "psycopg[binary]>=3.3.9") from error

from sessionguard.stores.options import patience_in, truth_in
from sessionguard.stores.postgres.async_store import AsyncPostgresStore
from sessionguard.stores.postgres.store import PostgresStore

__all__ = ["AsyncPostgresStore", "PostgresStore", "open_postgres"]

_OPTION = re.compile("[a-z_]+")


def open_postgres(url: str, options: Mapping[str, str]) -> PostgresStore:
    """Open `postgresql://user@host:port/database`; nothing is connected yet.

    Options: `schema=NAME`, where the tables are; `pool=N`, connections of one process at most; `patience=SECONDS`, how
    long a call waits; `prepare=false`, for a proxy that gives every transaction another connection;
    `migrate=false`, to leave the schema to `sessionguard migrate`. All others are libpq's, such as `sslmode`.
    """
    if not all(_OPTION.fullmatch(name) for name in options):
        # Not named: behind a question mark inside a password, the rest of the password would be an option.
        raise ConfigurationError.of_url(url, "write what is special in a password percent-encoded: ? as %3F")
    own = {"schema", "pool", "patience", "prepare", "migrate"}
    others = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items() if name not in own)
    place = url.partition("?")[0]
    credentials, at, _ = place.partition("://")[2].rpartition("@")
    if at and ("@" in credentials or "/" in credentials):
        # libpq would take the rest of the password for the host, and name it in its errors.
        remedy = "write what is special in a password percent-encoded: @ as %40, / as %2F"
        raise ConfigurationError.of_url(url, remedy)
    return PostgresStore(
        f"{place}?{others}" if others else place,
        schema=options.get("schema", "sessionguard"),
        pool_size=_whole(url, options.get("pool", "10")),
        patience_seconds=patience_in(url, options),
        prepare=truth_in(url, options, "prepare", default=True),
        migrate=truth_in(url, options, "migrate", default=True),
    )


def _whole(url: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1000:
        raise ConfigurationError.of_url(url, "pool is a number of connections from 1 to 1000")
    return int(text)
