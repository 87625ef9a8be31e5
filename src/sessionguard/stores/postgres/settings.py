"""What a store was told: where the database is, how long to wait, and what is set on every connection."""

import math
import re
from typing import Any, Final

import psycopg
from attrs import evolve, field, frozen
from psycopg.conninfo import conninfo_to_dict

from sessionguard.errors import ConfigurationError

_SCHEMA: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
SLACK_SECONDS: Final = 1.0
SECONDS_AFTER_ONE_TOO_MANY: Final = 1.0
"""How long no more connections are tried after the server refused one for want of places, while there are others."""


@frozen
class Settings:
    """The settings of one store. Its text has no password in it."""

    parameters: dict[str, Any] = field(repr=False)
    """What libpq needs to connect, timeouts included."""
    schema: str
    pool_size: int
    patience_seconds: float
    prepare: bool
    """Whether a connection stays the same from one transaction to the next, so that it may keep statements."""
    migrate: bool

    @property
    def answer_seconds(self) -> float:
        """How long an answer is waited for: a little longer than the server works, so that its word comes first."""
        return self.patience_seconds + SLACK_SECONDS

    @property
    def patience_ms(self) -> int:
        """The same patience, as the server's timeouts are given."""
        return max(1, math.ceil(self.patience_seconds * 1000))


def settings_of(
    conninfo: str, *, schema: str, pool_size: int, patience_seconds: float, prepare: bool, migrate: bool
) -> Settings:
    """Check what a store was told. Raises `ConfigurationError`; what is wrong with a URL is told without quoting it."""
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        # Neither quoted nor chained: libpq repeats the piece that it could not read, which may be of a password.
        del error
        raise ConfigurationError.of_url(
            conninfo if "://" in conninfo else "(not shown)",
            "write it as postgresql://user@host:port/database, with what is special in a password percent-encoded; "
            "options are schema, pool, patience, prepare, migrate, and those of libpq",
        ) from None
    if not isinstance(schema, str) or _SCHEMA.fullmatch(schema) is None:
        raise ConfigurationError("schema", schema, "use up to 63 of a-z 0-9 _, not beginning with a digit or pg_")
    if type(pool_size) is not int or pool_size < 1:
        raise ConfigurationError("pool_size", pool_size, "give how many connections a process may have, at least 1")
    if not 0 < patience_seconds < 3600:
        raise ConfigurationError("patience_seconds", patience_seconds, "give seconds above 0 and below 3600")
    settings = Settings({}, schema, pool_size, patience_seconds, prepare, migrate)
    settings.parameters.update(_defaults(settings) | given | {"client_encoding": "UTF8"})
    if prepare:
        settings.parameters["options"] = f"{given.get('options') or ''} {_server_settings(settings)}".strip()
    return settings


def with_own_search_path(settings: Settings) -> Settings:
    """Give settings whose connections have the search path of their role: what an application's triggers rely on."""
    options = (settings.parameters.get("options") or "").replace("-c search_path=pg_catalog", "")
    return evolve(settings, parameters=settings.parameters | {"options": options})


def _defaults(settings: Settings) -> dict[str, Any]:
    seconds = math.ceil(settings.patience_seconds)
    return {
        "application_name": "sessionguard",
        # libpq takes whole seconds, and 1 as 2.
        "connect_timeout": max(2, seconds),
        # A peer that is gone without a word is noticed within about ten seconds of silence.
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": max(2000, settings.patience_ms),
    }


def _server_settings(settings: Settings) -> str:
    """Give what is set on every connection, whatever the database, the role or the server says.

    A proxy that shares connections between clients refuses this, or loses it: there, with `prepare=False`,
    the same is said in every transaction (`Wire`).
    """
    milliseconds = settings.patience_ms
    return " ".join(
        f"-c {name}={value}"
        for name, value in {
            "default_transaction_isolation": r"read\ committed",
            "default_transaction_read_only": "off",
            "default_transaction_deferrable": "off",
            "search_path": "pg_catalog",
            # Every plan is a look-up by an index, whatever the values; to plan one anew may take longer than to run it.
            "plan_cache_mode": "force_generic_plan",
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": max(10_000, 2 * milliseconds),
        }.items()
    )
