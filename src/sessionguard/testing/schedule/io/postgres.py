"""Statements to PostgreSQL by psycopg: its cursors and connections are written in Python, so their methods tell."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final

from sessionguard.testing.schedule.io.listening import Access, Listener, mine
from sessionguard.testing.schedule.io.replacing import Replacements
from sessionguard.testing.schedule.io.statements import parsed, rows_of

_IDLE: Final = 0
"""The status of a connection that is in no transaction (libpq's PQTRANS_IDLE)."""


def add(replacements: Replacements) -> None:
    """Let cursors and connections tell of what they ask, if psycopg is installed."""
    try:
        import psycopg
    except ImportError:
        return
    for name in ("execute", "executemany", "stream", "copy"):
        for kind in _kinds_with(name, psycopg.Cursor):
            replacements.replace(kind, name, _telling)
        for kind in _kinds_with(name, psycopg.AsyncCursor):
            # A copy and a stream in a coroutine begin with a call that cannot be suspended.
            replacements.replace(kind, name, _telling if name in ("stream", "copy") else _telling_async)
    replacements.replace(psycopg.Connection, "commit", _telling_commit)
    replacements.replace(psycopg.AsyncConnection, "commit", _telling_async_commit)


def _kinds_with(name: str, kind: Any) -> Iterator[Any]:
    """Give the class and those below it that have the method of their own; what they call of each other tells once."""
    if name in vars(kind):
        yield kind
    for below in kind.__subclasses__():
        yield from _kinds_with(name, below)


def _telling(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def tell_and_ask(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        told = _access(self, query, args, kwargs)
        if told is not None:
            told[0].reach(told[1])
        return real(self, query, *args, **kwargs)

    return tell_and_ask


def _telling_async(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    async def tell_and_ask(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        told = _access(self, query, args, kwargs)
        if told is not None:
            await told[0].areach(told[1])
        return await real(self, query, *args, **kwargs)

    return tell_and_ask


def _telling_commit(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def commit(self: Any) -> Any:
        told = _commit(self)
        if told is not None:
            told[0].reach(told[1])
        return real(self)

    return commit


def _telling_async_commit(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    async def commit(self: Any) -> Any:
        told = _commit(self)
        if told is not None:
            await told[0].areach(told[1])
        return await real(self)

    return commit


def _access(cursor: Any, query: Any, args: Any, kwargs: Any) -> tuple[Listener, Access] | None:
    listener = mine()
    if listener is None:
        return None
    parameters = args[0] if args else kwargs.get("params", kwargs.get("params_seq", ()))
    if isinstance(parameters, Iterator):  # It can be read once only, by whoever needs it.
        parameters = ()
    access = parsed(_text(query, cursor)).access(_place(listener, cursor.connection), parameters)
    return None if access is None else (listener, access)


def _commit(connection: Any) -> tuple[Listener, Access] | None:
    listener = mine()
    if listener is None or connection.closed or connection.pgconn.transaction_status == _IDLE:
        return None
    return listener, Access("COMMIT", [(_place(listener, connection), "w")], rows_of(()))


def _text(query: Any, cursor: Any) -> str:
    if hasattr(query, "as_string"):
        query = query.as_string(cursor)
    return query.decode(errors="replace") if isinstance(query, bytes) else str(query)


def _place(listener: Listener, connection: Any) -> Any:
    info = connection.info
    return listener.place(("postgres", info.host, info.port, info.dbname))
