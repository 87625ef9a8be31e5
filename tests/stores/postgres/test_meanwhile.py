"""What others do in the midst of a call: two who end one owner, purges beside each other and between two looks."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import attrs
import psycopg
import pytest

from sessionguard.core.limits import ActiveLimit
from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import PostgresStore
from sessionguard.testing.contracts.stage import IDLE, REMEMBERED, RETENTION, SECOND, START, TICK, Stage
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.conftest import OpenStore

Line = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def other(postgres_server: PostgresServer, schema_name: str) -> Iterator[Line]:
    """Another client in a transaction of its own, in the schema of the store."""
    with psycopg.connect(postgres_server.url, options=f"-c search_path={schema_name}") as line:
        yield line


@pytest.fixture
def started(postgres_server: PostgresServer, schema_name: str) -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """Start work in a thread and go on as soon as its call waits for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'sessionguard' "
        f"AND query LIKE '%{schema_name}%'"
    )
    with ThreadPoolExecutor(4) as pool:

        def start(work: Callable[[], Any]) -> Future[Any]:
            before = int(postgres_server.execute(waiting)[0][0] or 0)
            future = pool.submit(work)
            while int(postgres_server.execute(waiting)[0][0] or 0) == before:
                assert not future.done(), future.result()
            return future

        yield start


def opened(store: PostgresStore, stage: Stage, tag: str) -> SessionRecord:
    """Give a session of ana whose id begins with `tag`."""
    new = stage.new("ana", external_id=tag)
    return store.get_or_create(stage.get_or_create(attrs.evolve(new, id=tag + new.id[2:]))).record


def test_two_who_end_one_owner_do_not_wait_for_each_other(
    open_store: OpenStore,
    store: PostgresStore,
    other: Line,
    stage: Stage,
    started: Callable[[Callable[[], Any]], Future[Any]],
) -> None:
    """One looks again, for a session that came meanwhile and that the other would have: both are answered."""
    patient = open_store(patience_seconds=30)
    middle, last = opened(store, stage, "bb"), opened(store, stage, "dd")
    other.execute("SELECT FROM sg_session WHERE id = %s FOR UPDATE", [last.id])
    one = started(lambda: patient.end_owner(stage.end_owner("ana")))
    first = opened(store, stage, "aa")
    two = started(lambda: patient.end_owner(stage.end_owner("ana")))
    other.commit()
    ended = [record.id for future in (one, two) for record in future.result(30).records]
    assert sorted(ended) == [first.id, middle.id, last.id]


def test_a_limit_counts_who_is_being_touched(
    open_store: OpenStore,
    store: PostgresStore,
    other: Line,
    stage: Stage,
    started: Callable[[Callable[[], Any]], Future[Any]],
) -> None:
    """A session that is touched by a call that is not committed yet is not taken for expired."""
    patient = open_store(patience_seconds=30)
    record = store.create(stage.create("ana")).record
    other.execute("SELECT FROM sg_touch('touch', %s, %s)", [stage.us(IDLE - TICK), record.id])
    late = started(lambda: patient.create(stage.create("ana", at=IDLE, at_most=ActiveLimit(1, "refuse"))))
    other.commit()
    assert late.result(30).is_refused


def test_a_limit_ends_nobody_who_has_just_ended(
    open_store: OpenStore,
    store: PostgresStore,
    other: Line,
    stage: Stage,
    started: Callable[[Callable[[], Any]], Future[Any]],
) -> None:
    """Who is being ended for another reason is not in the way once that is committed: the first reason stays."""
    patient = open_store(patience_seconds=30)
    oldest, newer = (store.create(stage.create("ana", at=at)).record for at in (-SECOND, START))
    other.execute("SELECT FROM sg_end('end', %s, %s, 'revoked')", [stage.us(START), oldest.id])
    late = started(lambda: patient.create(stage.create("ana", at=SECOND, at_most=ActiveLimit(2, "end_oldest"))))
    other.commit()
    assert late.result(30).ended == ()
    assert [store.get(stage.get(one, at=SECOND)).reason for one in (oldest, newer)] == ["revoked", None]  # type: ignore[union-attr]


@pytest.mark.parametrize("verb", ["get_or_create", "replace"])
def test_a_limit_waits_for_a_slot_before_it_locks_a_session(
    open_store: OpenStore,
    store: PostgresStore,
    other: Line,
    stage: Stage,
    started: Callable[[Callable[[], Any]], Future[Any]],
    verb: str,
) -> None:
    """Who has the slot may lock its session meanwhile: in the other order, each would wait for the other."""
    patient = open_store(patience_seconds=30)
    holder = store.get_or_create(stage.get_or_create("ana")).record
    other.execute("SELECT sg_queue_for_slot(%s, 'ana', '')", [holder.scope])
    command = getattr(stage, verb)("ana", at=IDLE, at_most=ActiveLimit(2, "end_oldest"))
    late = started(lambda: command.apply(patient))
    other.execute("SELECT FROM sg_session WHERE id = %s FOR UPDATE NOWAIT", [holder.id])
    other.commit()
    assert [(one.id, one.reason) for one in late.result(30).ended] == [(holder.id, "expired")]


def test_who_counts_an_owner_and_who_ends_all_do_not_wait_for_each_other(store: PostgresStore, stage: Stage) -> None:
    """Openings of every kind, logins and ends of one owner at once: the server has to end nobody's wait."""
    limit = ActiveLimit(2, "end_oldest")

    def one(number: int) -> None:
        visit = store.create(stage.create(stage.mint.anonymous_owner())).record
        verbs = (
            lambda: store.replace(stage.replace("ana", at_most=limit)),
            lambda: store.get_or_create(stage.get_or_create("ana", external_id="b", at_most=limit)),
            lambda: store.rotate(stage.rotate(visit, owner="ana", at_most=limit)),
            lambda: store.end_owner(stage.end_owner("ana")),
            lambda: store.replace(stage.replace("ana", external_id="b")),
        )
        verbs[number % len(verbs)]()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(one, range(40)))
    store.create(stage.create("ana", at_most=limit))
    assert len(store.end_owner(stage.end_owner("ana")).records) <= 2


def test_a_purge_waits_for_nobody(open_store: OpenStore, store: PostgresStore, other: Line, stage: Stage) -> None:
    """What somebody has locked is left for the next purge; if that is all, no more is promised for now."""
    hasty = open_store(patience_seconds=0.5)
    records = [store.create(stage.create()).record for _ in range(3)]
    for record in records:
        store.end(stage.end(record))
    at = RETENTION + SECOND
    other.execute("SELECT FROM sg_session WHERE id = %s FOR UPDATE", [records[0].id])
    assert hasty.purge(stage.purge(at=at)).count == 2
    left = hasty.purge(stage.purge(at=at))
    assert (left.count, left.has_more) == (0, False)
    other.commit()
    assert hasty.purge(stage.purge(at=at)).count == 1


@pytest.mark.parametrize("limit", [2**31 - 1, 2**31, 2**62])
def test_a_purge_takes_any_limit(store: PostgresStore, stage: Stage, limit: int) -> None:
    """A limit beyond what an array has places for is a limit."""
    store.end(stage.end(store.create(stage.create()).record))
    purged = store.purge(stage.purge(limit=limit, at=RETENTION + SECOND))
    assert (purged.count, purged.has_more) == (1, False)


@pytest.mark.parametrize("verb", ["create", "get_or_create", "replace"])
def test_an_opening_that_is_repeated_while_its_session_is_purged(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage, verb: str
) -> None:
    """If the session goes between two looks at it, the call goes on as if it had never been, and is answered."""
    store.replace(stage.replace("ana", at=SECOND))
    command = getattr(stage, verb)("ana", at=SECOND)
    if verb == "get_or_create":
        store.end_owner(stage.end_owner("ana", at=SECOND))
    first = command.apply(store).record
    store.end(stage.end(first, at=SECOND))
    store.replace(stage.replace("ana", at=-SECOND))
    # As another purge would: gone as soon as it was seen.
    postgres_server.execute(f"""
        CREATE OR REPLACE FUNCTION {schema_name}.sg_is_known(p_id text) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN DELETE FROM sg_session WHERE id = p_id; RETURN FOUND; END $$;
        CREATE FUNCTION {schema_name}.gone() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN DELETE FROM sg_session WHERE id = '{first.id}'; RETURN NULL; END $$;
        CREATE TRIGGER gone AFTER INSERT ON {schema_name}.sg_session FOR EACH STATEMENT
          WHEN (pg_trigger_depth() = 0 AND {str(verb == "create").lower()}) EXECUTE FUNCTION {schema_name}.gone()""")
    again = command.apply(store)
    assert again.record.reason is None
    assert again.record.owner == "ana"
    command.verify(again, store.name)


def test_whom_an_operation_ended_is_nothing_without_whom_it_opened(
    store: PostgresStore, other: Line, schema_name: str, stage: Stage
) -> None:
    """When the opened session was purged and a former one not yet, that is not given out in its place."""
    former = store.get_or_create(stage.get_or_create("ana")).record
    command = stage.replace("ana", at=SECOND)
    second = store.replace(command).record
    other.execute("DELETE FROM sg_session WHERE id = %s", [second.id])
    rows = other.execute("SELECT id FROM sg_opened_before('e', %s)", [second.id])
    assert rows.fetchall() == []
    other.rollback()
    rows = other.execute(
        f"SELECT id FROM {schema_name}.sg_opened_before('e', %s)",
        [second.id],
    )
    assert rows.fetchall() == [(second.id,), (former.id,)]


def test_the_log_of_operations_shrinks_without_a_purge(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """Each logout of an owner takes some of the old ones with it, and none that is still remembered."""
    count = f"SELECT count(*) FROM {schema_name}.sg_operation"
    for _ in range(6):
        store.end_owner(stage.end_owner("nobody"))
    store.end_owner(stage.end_owner("nobody", at=REMEMBERED))
    assert postgres_server.execute(count) == [("7",)]
    store.end_owner(stage.end_owner("nobody", at=REMEMBERED + TICK))
    store.end_owner(stage.end_owner("nobody", at=REMEMBERED + TICK))
    assert postgres_server.execute(count) == [("3",)]
