"""The same statements underneath: the very SQL that the store sends for a verb, by a plain psycopg connection.

The tables, the settings of the connection and the parameters are those of the store. Statements are prepared, answers
are binary and fetched; nothing is decoded, compared or made of them.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from sessionguard.core import commands as c
from sessionguard.core.leases import HoldLease, ReleaseLease
from sessionguard.stores.postgres import PostgresStore, questions
from sessionguard.stores.postgres.wire import wire_of
from tests.benchmarks.commands_underneath import Underneath
from tests.benchmarks.measuring import Side, seconds

_QUESTIONS: Final[dict[type[c.Command[Any]], questions.Question[Any, Any]]] = {
    c.Create: questions.CREATE,
    c.GetOrCreate: questions.GET_OR_CREATE,
    c.Replace: questions.REPLACE,
    c.Load: questions.LOAD,
    c.Get: questions.GET,
    c.Save: questions.SAVE,
    c.Touch: questions.TOUCH,
    c.Rotate: questions.ROTATE,
    c.End: questions.END,
    c.Sweep: questions.SWEEP,
    HoldLease: questions.HOLD_LEASE,
    ReleaseLease: questions.RELEASE_LEASE,
}

Statement = tuple[str, Sequence[Any]]


class SamePostgres:
    """One connection, and a store with a schema of its own that says what is sent on it."""

    def __init__(self, url: str, schema: str) -> None:
        self._store = PostgresStore(url, schema=schema)
        self._underneath = Underneath(self._store)
        self._texts = {verb: text.decode() for verb, text in wire_of(self._store.settings).statements.items()}
        self.parameters = self._store.settings.parameters | {"autocommit": True, "prepare_threshold": 0}
        self._connection = psycopg.connect(**self.parameters)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
        self._store.close()

    def statements_of(self, script: str, n: int) -> list[Statement]:
        """Give what the store sends for `n` calls of a script of a guard."""
        return [self._statement(command) for command in self._underneath.commands_of(script, n)]

    def _statement(self, command: c.Command[Any]) -> Statement:
        question = _QUESTIONS[type(command)]
        return self._texts[question.verb], question.parameters(command)

    def side(self, script: str) -> tuple[Side, str]:
        """Give the bare side of a script of a guard, and what to call it."""
        cursor = psycopg.RawCursor(self._connection)

        def measured(n: int) -> float:
            statements = self.statements_of(script, n)

            def execute() -> None:
                for text, parameters in statements:
                    cursor.execute(text, parameters, binary=True)

            return seconds(execute)

        return measured, "same statement"


class AsyncSamePostgres:
    """The same on an event loop; what is sent is made by the blocking one."""

    def __init__(self, same: SamePostgres, loop: asyncio.AbstractEventLoop) -> None:
        self._same = same
        self._loop = loop
        self._connection = loop.run_until_complete(psycopg.AsyncConnection.connect(**same.parameters))

    def close(self) -> None:
        """Close the connection."""
        self._loop.run_until_complete(self._connection.close())

    def side(self, script: str) -> tuple[Side, str]:
        """Give the bare side of a script of a guard, and what to call it."""
        cursor = psycopg.AsyncRawCursor(self._connection)

        async def execute(statements: Sequence[Statement]) -> float:
            began = time.perf_counter()
            for text, parameters in statements:
                await cursor.execute(text, parameters, binary=True)
            return time.perf_counter() - began

        return (lambda n: self._loop.run_until_complete(execute(self._same.statements_of(script, n)))), "same statement"
