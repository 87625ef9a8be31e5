"""What a call decides after it had to wait for another transaction: by what is stored then, at the instant it is."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import PostgresStore
from sessionguard.testing.contracts.stage import SECOND, TOUCH, Stage
from sessionguard.testing.servers import PostgresServer

Line = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def record(store: PostgresStore, stage: Stage) -> SessionRecord:
    """A session by the engine's clock, so that the engine judges it."""
    new = stage.new("ana", data={"n": 0})
    return store.get_or_create(c.GetOrCreate(new, None, stage.operation())).record


@pytest.fixture
def other(postgres_server: PostgresServer, schema_name: str) -> Iterator[Line]:
    """Another client in a transaction of its own, in the schema of the store."""
    with psycopg.connect(postgres_server.url, options=f"-c search_path={schema_name}") as line:
        yield line


@contextmanager
def waiting(other: Line, postgres_server: PostgresServer, work: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Start `work` and go on when it waits for a lock that `other` has; leaving the block commits what `other` did."""
    blocked = f"SELECT count(*) FROM pg_stat_activity WHERE {other.info.backend_pid} = ANY (pg_blocking_pids(pid))"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while postgres_server.execute(blocked) == [("0",)]:
            assert not future.done(), future.result()
        yield future
        other.commit()


NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


@pytest.mark.parametrize("verb", ["save", "touch", "rotate", "end"])
def test_the_clock_is_asked_after_the_wait(
    store: PostgresStore, other: Line, postgres_server: PostgresServer, stage: Stage, record: SessionRecord, verb: str
) -> None:
    """A session that expires while a change waits for it has expired for that change."""
    operation = stage.operation()
    command: c.Command[c.Changed] = {
        "save": c.Save(record.id, None, operation, {"n": "1"}, (), None, 1000),
        "touch": c.Touch(record.id, None, operation),
        "rotate": c.Rotate(record.id, None, operation, record.token_hash, b"x" * 33, 1, None),
        "end": c.End(record.id, None, operation, "revoked"),
    }[verb]
    other.execute("SELECT FROM sg_session FOR UPDATE")
    with waiting(other, postgres_server, lambda: command.apply(store)) as reply:
        # Later than the call began, earlier than it can go on.
        other.execute(f"UPDATE sg_session SET expires_us = {NOW}")
    assert reply.result().outcome is Outcome.ENDED
    assert reply.result().record.reason == "expired"


def test_a_load_that_waits_gives_out_no_session_that_ended(
    store: PostgresStore, other: Line, postgres_server: PostgresServer, stage: Stage
) -> None:
    """A due touch that waited for the end of its session finds it ended; before the end is committed it is no end."""
    opened = store.create(stage.create()).record
    other.execute("SELECT sg_end('op', %s, %s, 'revoked')", [stage.us(SECOND), opened.id])
    assert store.load(stage.load(opened, at=SECOND)).record == opened
    with waiting(other, postgres_server, lambda: store.load(stage.load(opened, at=TOUCH))) as reply:
        pass
    assert (reply.result().record, reply.result().refusal) == (None, "ended")


def test_no_fence_is_given_out_while_a_save_looks_at_it(
    store: PostgresStore, other: Line, postgres_server: PostgresServer, stage: Stage
) -> None:
    """Who takes a lapsed lock waits until a save under the former fence is committed, so it sees what that wrote."""
    held = store.create(stage.create()).record
    fence = store.acquire_lock(stage.acquire(held, "one")).fence
    at = stage.us(SECOND)
    other.execute("SELECT sg_save('op', %s, %s, '{\"n\":1}', '[]', NULL, 1000, 'door', %s)", [at, held.id, fence])
    with waiting(other, postgres_server, lambda: store.acquire_lock(stage.acquire(held, "two", at=SECOND))) as reply:
        pass
    assert reply.result().outcome is Outcome.DONE
    assert reply.result().fence > fence
    stored = store.get(stage.get(held, at=SECOND))
    assert stored is not None
    assert stored.data == '{"n":1}'


def test_a_repetition_waits_for_the_first_of_its_kind(
    store: PostgresStore, other: Line, postgres_server: PostgresServer, stage: Stage, record: SessionRecord
) -> None:
    """A logout that is repeated while its first try is still under way does nothing and is answered the same."""
    other.execute("SELECT sg_end_owner('op', NULL, 'ana', NULL, NULL, 'revoked')")
    command = c.EndOwner("ana", None, None, "revoked", None, "op")
    with waiting(other, postgres_server, lambda: store.end_owner(command)) as reply:
        pass
    assert [ended.id for ended in reply.result().records] == [record.id]
