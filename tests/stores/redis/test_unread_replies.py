"""T01: an unread reply in a pooled connection reaches no caller, blocking or async, on one server and on a cluster."""

import asyncio
import itertools
import secrets
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
