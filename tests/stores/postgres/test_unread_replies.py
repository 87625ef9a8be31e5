"""T01, T05: an answer to another question, or a row that was swapped: never given out, and the connection is closed."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from psycopg.abc import PQGen

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.core.records import SessionRecord
from sessionguard.errors import IdentityMismatchError, StoreError
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore, questions
from sessionguard.stores.postgres.exchanges import Exchange
from sessionguard.stores.postgres.rows import Rows
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import PostgresServer


class Misdirected:
    """Asks what somebody else has asked, in place of what it is told to."""

    def __init__(self, exchange: Exchange, echo: str) -> None:
        self._exchange, self._echo = exchange, echo

    def ask(self, verb: str, parameters: Sequence[Any]) -> PQGen[Rows]:
        """Send another echo than the caller's."""
        return self._exchange.ask(verb, (self._echo, *parameters[1:]))


@pytest.fixture
def records(store: PostgresStore, stage: Stage) -> list[SessionRecord]:
    """Two sessions of two owners."""
    return [store.create(stage.create(owner, data={"of": owner})).record for owner in ("ana", "bea")]


def test_t01_an_answer_that_was_not_read(
    store: PostgresStore, schema_name: str, stage: Stage, records: list[SessionRecord]
) -> None:
    """With ana's answer still in an idle connection, the question about bea is not answered with it."""
    (line,) = store._connections._idle
    assert line.connection is not None
    call = f"SELECT * FROM {schema_name}.sg_get('x', NULL, '{records[0].id}')"
    line.connection.pgconn.send_query(call.encode())
    with pytest.raises(StoreError):
        store.get(stage.get(records[1]))
    assert store._connections.open_count == 0
    assert store.get(stage.get(records[1])) == records[1]


def test_t01_an_answer_to_another_question(
    store: PostgresStore, stage: Stage, records: list[SessionRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply whose echo is another's is refused, also where it holds no session, and its connection is closed."""
    for command in (stage.load(stage.new()), stage.purge(), stage.end_owner("nobody"), stage.get(records[1])):
        (line,) = store._connections._idle
        assert line.exchange is not None
        monkeypatch.setattr(line, "exchange", Misdirected(line.exchange, stage.load(records[0]).operation_id))
        with pytest.raises(IdentityMismatchError, match="echo differs"):
            command.apply(store)
        monkeypatch.undo()
        assert store._connections.open_count == 0
        assert store.get(stage.get(records[1])) == records[1]


def test_t01_the_answer_to_another_load(
    store: PostgresStore, stage: Stage, records: list[SessionRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As guards send them: that another's token is not known is not taken for an answer about this one."""
    own, other = (c.Load(token_hash, None, None, "") for token_hash in (records[0].token_hash, stage.new().token_hash))
    (line,) = store._connections._idle
    assert line.exchange is not None
    monkeypatch.setattr(line, "exchange", Misdirected(line.exchange, questions.LOAD.parameters(other)[0]))
    with pytest.raises(IdentityMismatchError, match="echo differs"):
        store.load(own)


def test_t05_rows_that_were_swapped(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage, records: list[SessionRecord]
) -> None:
    """Two sessions that trade owners behind the store's back are not given to who asks for their slots."""
    ana = store.get_or_create(stage.get_or_create("ana")).record
    postgres_server.execute(f"UPDATE {schema_name}.sg_session SET owner = 'eve' WHERE id = '{ana.id}'")
    with pytest.raises(IdentityMismatchError, match="owner"):
        run(perform(type(stage.save(ana))(ana.id, None, "1" * 16, {}, (), None, 1000, meant=ana)), store)
    assert store._connections.open_count == 0


def test_t01_async(
    make_async: Callable[..., AsyncPostgresStore], schema_name: str, stage: Stage, records: list[SessionRecord]
) -> None:
    """The async store refuses an unread answer as well."""

    async def ask() -> None:
        store = make_async(pool_size=1)
        await store.get(stage.get(records[0]))
        (line,) = store._connections._pool().idle
        assert line.connection is not None
        line.connection.pgconn.send_query(f"SELECT * FROM {schema_name}.sg_get('x', NULL, '{records[0].id}')".encode())
        with pytest.raises(StoreError):
            await store.get(stage.get(records[1]))
        assert store._connections.open_count == 0
        assert await store.get(stage.get(records[1])) == records[1]
        await store.close()

    asyncio.run(ask())


def test_a_guard_drops_everything_on_a_mismatch(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str
) -> None:
    """What a guard notices makes the store drop all its connections."""
    with SessionGuard(store, sweep_interval=None) as guard:
        session = guard.get_or_create("ana")
        postgres_server.execute(f"UPDATE {schema_name}.sg_session SET owner = 'eve'")
        with pytest.raises(IdentityMismatchError):
            guard.save(session, {"n": 1})
        assert store._connections.open_count == 0


def test_no_two_questions_have_one_echo(store: PostgresStore, stage: Stage, records: list[SessionRecord]) -> None:
    """Asked again, a question that has no operation id of its own is told apart from the first time, also in a fork."""
    asked: dict[questions.Question[Any, Any], c.Command[Any]] = {
        questions.IDENTIFY: c.Identify(),
        questions.LOAD: stage.load(records[0]),
        questions.GET: stage.get(records[0]),
        questions.PAGE: stage.page(),
        questions.ACQUIRE_LOCK: stage.acquire(records[0], "one"),
        questions.RENEW_LOCK: stage.renew(records[0], "one"),
        questions.RELEASE_LOCK: stage.release(records[0], "one"),
    }
    echoes = [question.parameters(command)[0] for question, command in list(asked.items()) * 3]
    assert len(set(echoes)) == len(echoes)
    assert all(f".{os.getpid()}." in echo for echo in echoes)
