"""Schema versions: numbered SQL files, applied whole or not at all, by one connection at a time.

What is asked of the server is written once, as scripts: generators that yield statements and are sent their rows.
`playing` drives them, on a blocking connection and on an async one.
"""

from collections.abc import Generator, Sequence
from importlib.resources import files
from typing import Any, Final, TypeVar

import psycopg

from sessionguard.errors import StoreDataError, StoreUnavailableError
from sessionguard.stores.postgres.rights import grants
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.translation import NAME, ON_THE_PRIMARY

R = TypeVar("R")

Step = tuple[str, Sequence[Any] | None]
"""A statement with its parameters; or several statements in one text, without any."""
Script = Generator[Step, list[tuple[Any, ...]], R]

LONGEST_SECONDS: Final = 600.0
"""How long a migration may take, and others wait for it."""


def _migrations() -> tuple[tuple[int, str, str], ...]:
    folder = files(__package__).joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple((int(name[:4]), name, folder.joinpath(name).read_text(encoding="utf-8")) for name in names)


MIGRATIONS: Final = _migrations()
NEWEST: Final = MIGRATIONS[-1][0]


def version_of(schema: str) -> Script[int]:
    """Give the version of the schema; 0 if there is nothing of ours."""
    # By the catalogue: to_regclass may remember from before a wait that there was nothing.
    ((is_there,),) = yield (
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c "
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = 'sg_schema')",
        [schema],
    )
    if not is_there:
        return 0
    ((version,),) = yield f'SELECT coalesce(max(version), 0)::bigint FROM "{schema}".sg_schema', None
    return int(version)


def due(schema: str) -> Script[list[str]]:
    """Name the migrations that the schema still needs.

    Raises:
        StoreDataError: a newer release has migrated it further than this one knows.
    """
    version = yield from version_of(schema)
    if version > NEWEST:
        raise StoreDataError(
            NAME, "connect", f"the schema {schema} has version {version}, this release knows {NEWEST}; upgrade "
            "sessionguard here, or give this release a schema of its own"
        )  # fmt: skip
    return [name for number, name, _ in MIGRATIONS if number > version]


def due_at_first_use(settings: Settings) -> Script[list[str]]:
    """Name what this store has to apply before it can be used. Raises `StoreUnavailableError` if it is not to."""
    names = yield from due(settings.schema)
    if names and not settings.migrate:
        raise StoreUnavailableError(
            NAME, "connect", f"the schema {settings.schema} is not there or out of date ({len(names)} migrations are "
            "due) and migrate=false; run `sessionguard migrate`"
        )  # fmt: skip
    return names


def require_primary(operation: str) -> Script[None]:
    """Raise `StoreUnavailableError` on a standby, where nothing can be changed."""
    ((is_standby,),) = yield "SELECT pg_catalog.pg_is_in_recovery()", None
    if is_standby:
        remedy = f"{operation} on the primary: {ON_THE_PRIMARY}"
        raise StoreUnavailableError(NAME, operation, f"this server is a standby; {remedy}", transient=True)


def role_of(error: Exception) -> Script[str | None]:
    """Give whose rights did not suffice, after a statement that failed; None if it failed for another reason."""
    if not isinstance(error, psycopg.errors.InsufficientPrivilege):
        return None
    yield "ROLLBACK", None
    # Not who signed in: a role may be set to act as another.
    ((role,),) = yield "SELECT current_user::text", None
    return str(role)


def migrated(schema: str) -> Script[list[str]]:
    """Apply what is due, in one transaction, and name it; several processes may try at once."""
    yield from require_primary("migrate")
    ((role,),) = yield "SELECT current_user::text", None
    yield "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", None
    yield f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{LONGEST_SECONDS:.0f}s'", None
    yield "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"sessionguard migrate {schema}"]
    # Asked again, now that no one else can be at it.
    names = yield from due(schema)
    try:
        yield from _apply(schema, names)
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreUnavailableError(NAME, "migrate", _needed(schema, names, role)) from error
    yield "COMMIT", None
    return names


def _apply(schema: str, names: list[str]) -> Script[None]:
    ((is_there,),) = yield "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s)", [schema]
    if not is_there:
        # Not IF NOT EXISTS alone: that asks for the right to create one also where it is there.
        yield f'CREATE SCHEMA "{schema}"', None
    # The functions keep this search path. Objects of others are not found through it, temporary ones last.
    yield f'SET LOCAL search_path = "{schema}", pg_temp; SET LOCAL client_min_messages = warning', None
    yield (
        "CREATE TABLE IF NOT EXISTS sg_schema "
        "(version integer NOT NULL PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
        None,
    )
    for number, name, text in MIGRATIONS:
        if name in names:
            yield text, None
            yield "INSERT INTO sg_schema (version) VALUES (%s)", [number]


def _needed(schema: str, names: list[str], role: str) -> str:
    return (
        f"the role {role} may not make or change the schema {schema} ({len(names)} migrations are due); run "
        "`sessionguard migrate` once with a role that may, the owner of the schema or of the database, and let that "
        f"run: {grants(schema, role)}"
    )
