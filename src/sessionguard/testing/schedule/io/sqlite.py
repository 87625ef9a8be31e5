"""Statements to SQLite. Its connections are written in C and cannot be changed, so those that are made now are others.

`sqlite3.connect` gives a connection of a class below the one that was asked for; a connection that was made before the
schedule began is not seen. Where SQLite would sleep until another connection lets go of the database, the worker waits
where the scheduler sees it, and asks again then: nothing depends on how long that takes.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any, Final, TypeVar

from sessionguard.testing.schedule.io.listening import Access, Listener, mine, unheard
from sessionguard.testing.schedule.io.replacing import Replacements
from sessionguard.testing.schedule.io.statements import Statement, parsed

T = TypeVar("T")

_BUSY: Final = 5
_PRIMARY: Final = 0xFF
_BUSY_SNAPSHOT: Final = 517
"""Another connection has written since this transaction read; waiting would not help, so SQLite does not."""
_COMMIT: Final = Statement("COMMIT", (), True, False, False)
_FACTORY: Final = 5
"""The place of `factory` among the arguments of `connect`."""


def add(replacements: Replacements) -> None:
    """Let new connections tell of their statements."""
    replacements.replace(sqlite3, "connect", _connecting)
    replacements.replace(sqlite3.dbapi2, "connect", _connecting)


@cache
def _connecting(real: Callable[..., Any]) -> Callable[..., Any]:
    # One for both names of it: a module that has it as its own must find the same.
    @wraps(real)
    def connect(*args: Any, **kwargs: Any) -> Any:
        asked = args[_FACTORY] if len(args) > _FACTORY else kwargs.get("factory", sqlite3.Connection)
        if not isinstance(asked, type):
            return real(*args, **kwargs)
        if len(args) > _FACTORY:
            args = (*args[:_FACTORY], _watched_connection(asked), *args[_FACTORY + 1 :])
        else:
            kwargs["factory"] = _watched_connection(asked)
        connection = real(*args, **kwargs)
        database = args[0] if args else kwargs.get("database")
        connection._sg = _Talk(connection, database)
        return connection

    return connect


class _Talk:
    """What is known of one connection: its database, and whether the open transaction has done anything."""

    def __init__(self, connection: Any, database: Any) -> None:
        self._connection = connection
        self.name = _name_of(database)
        self._has_begun = False

    def ask(self, text: str, parameters: object, call: Callable[[], T]) -> T:
        """Ask the database, and tell of it before."""
        return self._told(parsed(text), parameters, call)

    def commit(self, call: Callable[[], T]) -> T:
        """Commit, and tell of it before, if there is a transaction."""
        return self._told(_COMMIT, (), call) if self._connection.in_transaction else call()

    def _told(self, statement: Statement, parameters: object, call: Callable[[], T]) -> T:
        listener = mine()
        if listener is None:
            return call()
        access = statement.access(listener.place(self.name), parameters)
        if access is None:
            return call()
        listener.reach(access)
        try:
            return self._without_sleep(listener, statement, access, call)
        finally:
            self._has_begun = self._is_open() and (self._has_begun or not statement.begins or statement.locks_at_once)

    def _without_sleep(self, listener: Listener, statement: Statement, access: Access, call: Callable[[], T]) -> T:
        timeout = self._timeout() if listener.can_stop else 0
        if not timeout:
            return call()
        # SQLite does not wait for others inside a transaction that has read: they may be waiting for its end.
        may_wait = statement.commits or not (self._has_begun and self._is_open())
        self._set_timeout(0)
        try:
            while True:
                try:
                    return call()
                except sqlite3.OperationalError as error:
                    code = getattr(error, "sqlite_errorcode", 0)
                    is_busy = code & _PRIMARY == _BUSY and code != _BUSY_SNAPSHOT
                    if not (is_busy and may_wait and listener.wait_for_others("wait for the database")):
                        raise
                    listener.note(access)
        finally:
            self._set_timeout(timeout)

    def _is_open(self) -> bool:
        with suppress(sqlite3.ProgrammingError):
            return bool(self._connection.in_transaction)
        return False

    def _timeout(self) -> int:
        # Of a closed connection, or one of another thread, what is asked itself says that it cannot be.
        with suppress(sqlite3.Error):
            return int(sqlite3.Cursor(self._connection).execute("PRAGMA busy_timeout").fetchone()[0])
        return 0

    def _set_timeout(self, milliseconds: int) -> None:
        with suppress(sqlite3.Error):
            sqlite3.Cursor(self._connection).execute(f"PRAGMA busy_timeout = {milliseconds}").fetchall()


@cache
def _watched_connection(kind: type) -> type:
    base: Any = kind

    class Watched(base):  # type: ignore[misc]
        """A connection whose statements are told."""

        _sg: _Talk | None = None

        def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
            """Give a cursor whose statements are told."""
            return super().cursor(_watched_cursor(factory) if isinstance(factory, type) else factory)

        # What is written in C makes its cursors past the method above, in some releases of Python.

        def execute(self, *args: Any) -> Any:
            """Execute a statement with a new cursor, as the real one does."""
            return self._by_cursor("execute", args)

        def executemany(self, *args: Any) -> Any:
            """Execute a statement many times with a new cursor, as the real one does."""
            return self._by_cursor("executemany", args)

        def executescript(self, *args: Any) -> Any:
            """Execute statements with a new cursor, as the real one does."""
            return self._by_cursor("executescript", args)

        def _by_cursor(self, name: str, args: Any) -> Any:
            cursor = self.cursor()
            try:
                return getattr(cursor, name)(*args)
            except BaseException:
                # The traceback refers to it, and as long as it has a statement a closed connection keeps its locks.
                cursor.close()
                raise

        def commit(self) -> None:
            """Commit, as the real one does."""
            if self._sg is None:
                super().commit()
            else:
                self._sg.commit(super().commit)

        def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
            """Commit or roll back, as the real one does."""
            call = partial(super().__exit__, kind, error, trace)
            return call() if self._sg is None or kind is not None else self._sg.commit(call)

    Watched.__name__, Watched.__qualname__ = kind.__name__, kind.__qualname__
    return Watched


@cache
def _watched_cursor(kind: type) -> type:
    base: Any = kind

    class Watched(base):  # type: ignore[misc]
        """A cursor whose statements are told."""

        def execute(self, sql: str, parameters: Any = (), /) -> Any:
            """Execute a statement, as the real one does."""
            return self._asked(sql, parameters, partial(super().execute, sql, parameters))

        def executemany(self, sql: str, parameters: Any, /) -> Any:
            """Execute a statement with each of the parameters, as the real one does."""
            kept = list(parameters)  # What is busy at first is asked again.
            return self._asked(sql, kept, partial(super().executemany, sql, kept))

        def executescript(self, sql_script: str, /) -> Any:
            """Execute statements, as the real one does."""
            return self._asked(sql_script, (), partial(super().executescript, sql_script))

        def _asked(self, sql: Any, parameters: Any, call: Callable[[], Any]) -> Any:
            talk = getattr(self.connection, "_sg", None)
            return call() if talk is None or not isinstance(sql, str) else talk.ask(sql, parameters, call)

    Watched.__name__, Watched.__qualname__ = kind.__name__, kind.__qualname__
    return Watched


def _name_of(database: Any) -> tuple[str, str]:
    if isinstance(database, bytes):
        database = database.decode(errors="surrogateescape")
    text = str(database)
    if text.startswith("file:") or text in ("", ":memory:"):
        return "sqlite", text
    with unheard(), suppress(OSError):
        text = str(Path(text).resolve())
    return "sqlite", text
