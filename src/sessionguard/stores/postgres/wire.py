"""How one question becomes one message: the statement of each verb, and what stands around it.

On a connection of its own a statement is prepared once and then only executed. Behind a proxy that gives every
transaction another connection, nothing may be left behind on one: there isolation, timeouts and the statement go
together in one message, as one transaction, with the values inside.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen
from psycopg import AsyncClientCursor, AsyncCursor, ClientCursor, Cursor

from sessionguard.stores.postgres.settings import Settings

# Verb -> how many parameters its function takes.
ARITIES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "identify": 1,
        "create": 13,
        "get_or_create": 13,
        "replace": 13,
        "load": 4,
        "get": 3,
        "page": 8,
        "save": 9,
        "touch": 3,
        "rotate": 7,
        "end": 4,
        "end_owner": 6,
        "sweep": 3,
        "purge": 4,
        "acquire_lock": 5,
        "renew_lock": 5,
        "release_lock": 3,
    }
)


@frozen
class Wire:
    """The messages of one store."""

    statements: Mapping[str, bytes]
    """Verb -> what is sent."""
    prepare: bool
    passed_over: int
    """How many results come before that of the statement."""
    cursor: type[Cursor[Any]]
    async_cursor: type[AsyncCursor[Any]]


def wire_of(settings: Settings) -> Wire:
    """Give the messages for a schema; its name was checked and needs no quoting."""
    calls = {
        verb: f'SELECT * FROM "{settings.schema}".sg_{verb}({", ".join(["%s"] * arity)})'
        for verb, arity in ARITIES.items()
    }
    if settings.prepare:
        return Wire(_queries(calls), True, 0, Cursor, AsyncCursor)
    before = (
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
        f"SET LOCAL statement_timeout = {settings.patience_ms}; SET LOCAL lock_timeout = {settings.patience_ms}; "
    )
    whole = {verb: f"{before}{call}; COMMIT" for verb, call in calls.items()}
    return Wire(_queries(whole), False, 3, ClientCursor, AsyncClientCursor)


def _queries(texts: Mapping[str, str]) -> Mapping[str, bytes]:
    # As bytes, which psycopg takes without asking whether the text is a literal.
    return MappingProxyType({verb: text.encode("ascii") for verb, text in texts.items()})
