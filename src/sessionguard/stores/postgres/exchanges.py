"""One question and its answer on one connection, as generators of psycopg that a blocking and an async wait both drive.

Below the cursors of psycopg, which do for every statement what needs to be done once here: they took half of the
client's time. On a connection of its own a statement is prepared at its second use and then only executed. Behind a
proxy that gives every transaction another connection nothing may be left on one: there isolation, timeouts and the
statement go together in one message, as one transaction, with the values inside.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import psycopg
from attrs import define, field
from psycopg import adapt, generators
from psycopg.abc import PQGen, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

from sessionguard.errors import InvalidArgumentError
from sessionguard.stores.postgres.rows import Row, Rows

_BINARY: Final = Format.BINARY
_ROWS: Final = ExecStatus.TUPLES_OK
_FINE: Final = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})


class Exchange(Protocol):
    """How one connection is asked."""

    def ask(self, verb: str, parameters: Sequence[Any]) -> PQGen[Rows]:
        """Send the statement of a verb with its parameters, and give the rows of its answer."""


class MakeExchange(Protocol):
    """What gives a connection its exchange."""

    def __call__(self, connection: "psycopg.BaseConnection[Any]", statements: Mapping[str, bytes]) -> Exchange: ...


@define(eq=False)
class PreparedExchange:
    """The server keeps the statements that were used on this connection."""

    _connection: "psycopg.BaseConnection[Any]"
    _statements: Mapping[str, bytes]
    _transformer: Transformer = field(init=False)
    _used: set[str] = field(init=False, factory=set)
    _prepared: dict[str, tuple[bytes, list[int]]] = field(init=False, factory=dict)
    """Verb -> the name of its statement, and which parameters are bytes: the same for all commands of a verb."""

    def __attrs_post_init__(self) -> None:
        self._transformer = adapt.Transformer(self._connection)

    def ask(self, verb: str, parameters: Sequence[Any]) -> PQGen[Rows]:
        pgconn = self._connection.pgconn
        values = _all_sent(parameters)
        prepared = self._prepared.get(verb)
        if prepared is None:
            prepared = yield from self._prepared_at_second_use(verb, parameters)
        name, formats = prepared
        if name:
            pgconn.send_query_prepared(name, values, formats, _BINARY)
        else:
            pgconn.send_query_params(self._statements[verb], values, None, formats, _BINARY)
        results = yield from generators.execute(pgconn)
        rows = _loaded(self._transformer, results[-1])
        self._used.add(verb)
        return rows

    def _prepared_at_second_use(self, verb: str, parameters: Sequence[Any]) -> PQGen[tuple[bytes, list[int]]]:
        formats = [1 if type(value) is bytes else 0 for value in parameters]
        if verb not in self._used:
            return b"", formats
        name = verb.encode()
        self._connection.pgconn.send_prepare(name, self._statements[verb])
        _require_fine((yield from generators.execute(self._connection.pgconn)))
        prepared = self._prepared[verb] = name, formats
        return prepared


@define(eq=False)
class WholeExchange:
    """Every question is one text, which is sent as it is and leaves nothing behind."""

    _connection: "psycopg.BaseConnection[Any]"
    _statements: Mapping[str, bytes]
    _transformer: Transformer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._transformer = adapt.Transformer(self._connection)

    def ask(self, verb: str, parameters: Sequence[Any]) -> PQGen[Rows]:
        for value in parameters:
            if isinstance(value, str):
                _require_whole(value)
        literal = self._transformer.as_literal
        pgconn = self._connection.pgconn
        pgconn.send_query(self._statements[verb] % tuple([literal(value) for value in parameters]))
        results = yield from generators.execute(pgconn)
        _require_fine(results)
        return next(_loaded(self._transformer, result) for result in results if result.status == _ROWS)


def _all_sent(parameters: Sequence[Any]) -> list[bytes | None]:
    """Give parameters as they are sent: text, but for bytes."""
    # What is usual without a call for each: these take more than all else on the way to the server.
    return [
        value.encode()
        if type(value) is str and "\0" not in value
        else value
        if value is None or type(value) is bytes
        else _sent(value)
        for value in parameters
    ]


def _require_whole(text: str) -> None:
    if "\0" in text:
        # It would end there.
        raise InvalidArgumentError("a text", text, "PostgreSQL holds no NUL characters")


def _sent(value: str | int) -> bytes:
    if isinstance(value, str):
        _require_whole(value)
        return str.encode(value)
    if type(value) is bool:
        return b"t" if value else b"f"
    return b"%d" % value


def _loaded(transformer: Transformer, result: PGresult) -> list[Row]:
    if result.status != _ROWS:
        raise error_from_result(result)
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)


def _require_fine(results: Sequence[PGresult]) -> None:
    for result in results:
        if result.status not in _FINE:
            raise error_from_result(result)
