"""T01: an unread reply in a pooled connection reaches no caller, blocking or async, on one server and on a cluster."""

import asyncio
import contextlib
import itertools
import secrets
import socket
import struct
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.commands import Load
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of
from sessionguard.errors import IdentityMismatchError
from sessionguard.stores.redis import AsyncRedisStore, async_lines, lines, openings
from sessionguard.stores.redis.asking import next_nonce
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import RedisCluster, RedisServer
from tests.stores.redis.asking import Session, asked


def _load_words(store: Any, command: Load) -> Any:
    return openings.load(store._home, command).by_digest(next_nonce())


def _plant(session: Session, command: Load) -> None:
    """Leave the reply to `command` unread in every idle connection to the server that has that session."""
    pool = session.store._pool_of(shard_of(command.token_hash))
    for line in pool.idle:
        connection = line._connection
        connection.send_packed_command(connection.pack_command(*_load_words(session.store, command)))
        assert connection.can_read(5)


def _neighbours(session: Session) -> tuple[SessionRecord, SessionRecord]:
    """Give sessions of two owners on one server."""
    ana = session.opened("ana")
    others = (session.opened(f"bea-{number}") for number in itertools.count())
    pool = session.store._pool_of(ana.id[:2])
    bea = next(bea for bea in others if session.store._pool_of(bea.id[:2]) is pool)
    session.ask(session.s.load(bea))
    return ana, bea


def test_t01_found_before_use(session: Session) -> None:
    """The reply is found as the connection is taken: the caller gets the right record, over another connection."""
    ana, bea = _neighbours(session)
    session.ask(session.s.load(ana))
    lent = [line for pool in session.store.pools for line in pool.idle]
    _plant(session, session.s.load(bea))
    for _ in range(3):
        assert session.ask(session.s.load(ana)).record == ana
        assert session.ask(session.s.load(bea)).record == bea
    still = {line for pool in session.store.pools for line in pool.idle}
    assert all(line.is_clean for line in still)
    assert not set(lent) <= still


def test_t01_found_by_nonce(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it not found, it is not what was asked: the caller gets an error, and no connection is used again."""
    ana, bea = _neighbours(session)
    _plant(session, session.s.load(bea))
    monkeypatch.setattr(lines.Line, "is_clean", True)
    lent = [line for pool in session.store.pools for line in pool.idle]
    with pytest.raises(IdentityMismatchError) as caught:
        session.ask(session.s.load(ana))
    assert caught.value.field == "nonce"
    assert not any(pool.idle for pool in session.store.pools)
    assert session.ask(session.s.load(ana)).record == ana
    assert session.ask(session.s.load(bea)).record == bea
    assert not set(lent) & {line for pool in session.store.pools for line in pool.idle}


def test_t01_survey(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unread reply before the many questions of a sweep is not taken for the answer to the first."""
    _, bea = _neighbours(session)
    session.ask(session.s.sweep())
    _plant(session, session.s.load(bea))
    monkeypatch.setattr(lines.Line, "is_clean", True)
    with pytest.raises(IdentityMismatchError):
        session.ask(session.s.sweep())
    assert session.ask(session.s.sweep()).records == ()


@pytest.mark.parametrize("is_blind", [False, True])
def test_t01_async(
    place: RedisServer | RedisCluster, key_prefix: str, is_blind: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same from an event loop: the right record or an error, never another's, and the connection is closed."""

    async def play() -> None:
        store = AsyncRedisStore(place.url, prefix=key_prefix)
        s = Stage(await asked(store, c.Identify()))
        ana = (await asked(store, s.get_or_create("ana"))).record
        bea = ana
        while bea is ana or store._known_pool_of(bea.id[:2]) is not store._known_pool_of(ana.id[:2]):
            bea = (await asked(store, s.create(secrets.token_hex(4)))).record
        await asked(store, s.load(bea))
        for line in store._known_pool_of(bea.id[:2]).idle:
            connection = line._connection
            await connection.send_packed_command(connection.pack_command(*_load_words(store, s.load(bea))))
            while not connection._reader._buffer:  # noqa: ASYNC110 - the driver tells of it in no other way
                await asyncio.sleep(0)
        lent = {line for pool in store.pools for line in pool.idle}
        if is_blind:
            monkeypatch.setattr(async_lines.AsyncLine, "is_clean", True)
            with pytest.raises(IdentityMismatchError):
                await asked(store, s.load(ana))
        assert (await asked(store, s.load(ana))).record == ana
        assert (await asked(store, s.load(bea))).record == bea
        if is_blind:
            assert not lent & {line for pool in store.pools for line in pool.idle}
        await store.close()

    asyncio.run(play())


class Relay:
    """What stands between the clients of one event loop and a server, and resets all of them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[asyncio.StreamWriter] = []
        self._meetings: list[asyncio.Task[Any] | None] = []

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one client and the server say."""
        self._clients.append(writer)
        self._meetings.append(asyncio.current_task())
        answers, asks = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass_on(reader, asks), self._pass_on(answers, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    def reset(self) -> None:
        """Forget every connection, without a word of farewell."""
        for writer in self._clients:
            connected = writer.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def finish(self) -> None:
        """Wait until everybody is gone."""
        await asyncio.gather(*filter(None, self._meetings))


def test_an_idle_connection_that_was_cut_off_is_not_used(redis_server: RedisServer, key_prefix: str) -> None:
    """By a reset of the network, or by the timer as its request was answered: the next is asked over another one."""

    async def play() -> None:
        relay = Relay(redis_server.port)
        async with await asyncio.start_server(relay.meet, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            store = AsyncRedisStore(f"redis://127.0.0.1:{port}/0", prefix=key_prefix)
            deployment = await asked(store, c.Identify())
            (line,) = store.pools[0].idle
            assert line.is_clean
            relay.reset()
            while not line._connection._writer.transport.is_closing():  # noqa: ASYNC110 - nothing else tells of it
                await asyncio.sleep(0)
            assert not line.is_clean
            assert await asked(store, c.Identify()) == deployment
            (line,) = store.pools[0].idle
            with line._watch.by(asyncio.get_running_loop().time(), line._connection):
                line._watch._look()
            assert not line.is_clean
            assert await asked(store, c.Identify()) == deployment
            await store.close()
            await relay.finish()

    asyncio.run(play())
