"""T17, T18: a reply that is lost after the change was committed; repeated, it has one effect and one answer."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from sessionguard import SessionGuard
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.asking import COMMANDS, scene
from tests.stores.postgres.conftest import OpenStore

# A hit that was not written down may be answered otherwise the second time: the touch was done by the first.
TOUCHING = {"get_or_create, touch due", "load, touch due"}


@pytest.mark.parametrize("asked", COMMANDS)
def test_t17_a_repetition_gets_the_first_answer(
    store: PostgresStore,
    open_store: OpenStore,
    proxy: TcpProxy,
    postgres_server: PostgresServer,
    stage: Stage,
    asked: str,
) -> None:
    """A command whose reply was cut off raises a transient outage; sent again it is answered as another one was."""
    cut = open_store(proxy.url_of(postgres_server.url), pool_size=2)
    here, there = scene(store, stage, 1), scene(store, stage, 2)
    expected = COMMANDS[asked](here).apply(store)
    cut.identify(COMMANDS["identify"](here))  # type: ignore[arg-type]
    command = COMMANDS[asked](there)
    proxy.drop_replies(1)
    with pytest.raises(StoreUnavailableError) as caught:
        command.apply(cut)
    assert caught.value.transient
    again = command.apply(cut)
    command.verify(again, store.name)
    assert command.apply(store) == again
    if asked not in TOUCHING | {"sweep", "purge", "page"}:
        assert _shape(again) == _shape(expected)


def _shape(reply: object) -> object:
    """Give what two answers about two sessions have in common."""
    if isinstance(reply, str | int) or reply is None:
        return reply
    return [
        (name, len(value) if isinstance(value, tuple) else value is None if name in ("record", "refused_id") else value)
        for name in ("outcome", "ended", "touched", "fence", "records", "has_more", "record", "refusal")
        for value in [getattr(reply, name, "has none")]
    ]


def test_t18_a_guard_repeats_until_it_is_answered(
    store: PostgresStore, open_store: OpenStore, proxy: TcpProxy, postgres_server: PostgresServer, schema_name: str
) -> None:
    """With the reply lost twice, a guard's login is one session, and its save one version."""
    with SessionGuard(open_store(proxy.url_of(postgres_server.url)), sweep_interval=None) as guard:
        guard.get_or_create("someone else")
        proxy.drop_replies(2)
        session = guard.get_or_create("ana", data={"n": 0})
        assert session.is_new
        proxy.drop_replies(2)
        assert guard.save(session, {"n": 1}).version == 2
        proxy.drop_replies(2)
        assert guard.end_owner("ana") == 1
    rows = postgres_server.execute(f"SELECT count(*) FROM {schema_name}.sg_session WHERE owner = 'ana'")
    assert rows == [("1",)]


def test_t17_async(
    make_async: Callable[..., AsyncPostgresStore], proxy: TcpProxy, postgres_server: PostgresServer, stage: Stage
) -> None:
    """The async store raises the same outage, and the repetition finds what was done."""

    async def lose() -> None:
        store = make_async(proxy.url_of(postgres_server.url))
        await store.get_or_create(stage.get_or_create("someone else"))
        command = stage.replace("ana")
        proxy.drop_replies(1)
        with pytest.raises(StoreUnavailableError) as caught:
            await store.replace(command)
        assert caught.value.transient
        opened = await store.replace(command)
        assert opened.record.id == command.new.id
        assert opened.record.generation == 1
        await store.close()

    asyncio.run(lose())


def test_nothing_is_repeated_for_longer_than_patience(
    store: PostgresStore, open_store: OpenStore, proxy: TcpProxy, postgres_server: PostgresServer
) -> None:
    """Whoever cannot be reached at all is reported as unavailable when the patience of the guard is over."""
    unreachable = open_store(proxy.url_of(postgres_server.url))
    with SessionGuard(unreachable, sweep_interval=None, patience=timedelta(seconds=0.2)) as guard:
        guard.get_or_create("ana")
        proxy.refuse()
        proxy.cut()
        with pytest.raises(StoreUnavailableError, match="see that the server runs"):
            guard.get_or_create("ana")
        proxy.accept()
        assert not guard.get_or_create("ana").is_new
