"""A server that refuses writes, because it cannot save or has lost its replicas: what is there is read on."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.errors import StoreUnavailableError
from sessionguard.testing.contracts.stage import IDLE, TOUCH, Stage
from sessionguard.testing.servers import RedisServer, redis_installations
from sessionguard.testing.servers.ports import free_port
from tests.stores.redis.asking import Session, asked
from tests.stores.redis.conftest import OpenSession


@pytest.fixture(params=redis_installations(), ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that has never saved, and cannot: a folder is in the way."""
    config = {"dbfilename": "blocked", "save": "3600 1000000"}
    with RedisServer(binaries=request.param, appendonly="no", config=config) as server:
        yield server
        server.command("CONFIG", "SET", "save", "")


def _break_saving(server: RedisServer) -> None:
    folder = Path(server.command("CONFIG", "GET", "dir")[1])
    (folder / "blocked" / "x").mkdir(parents=True)
    server.command("BGSAVE")
    deadline = time.monotonic() + 10
    while server.info("persistence")["rdb_last_bgsave_status"] != "err":
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _demand_replicas(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "min-replicas-to-write", 1)


def _reads(s: Stage, ana: SessionRecord) -> list[c.Command[Any]]:
    return [
        c.Identify(), s.load(ana), s.load(ana, at=TOUCH), s.get(ana), s.get_or_create("ana"),
        s.get_or_create("ana", at=TOUCH), s.page(), s.page(owner="ana"), s.sweep(), s.purge(),
    ]  # fmt: skip


def _writes(s: Stage, ana: SessionRecord) -> list[c.Command[Any]]:
    return [
        s.save(ana, {"n": 2}), s.touch(ana, at=TOUCH), s.end(ana), s.end_owner("ana"), s.get_or_create("bea"),
        s.create("ana"), s.replace("ana"), s.rotate(ana), s.rotate(ana, owner="zoe"), s.acquire(ana, "one"),
        s.sweep(at=IDLE),
    ]  # fmt: skip


def _check(session: Session, ana: SessionRecord, setting: str, *, transient: bool) -> None:
    s = session.s
    for command in _reads(s, ana):
        session.ask(command)
    assert session.ask(s.load(ana, at=TOUCH)).record == ana
    assert not session.ask(s.load(ana, at=TOUCH)).touched
    assert session.ask(s.get_or_create("ana")).record == ana
    writes = _writes(s, ana)
    for command in writes:
        with pytest.raises(StoreUnavailableError, match=setting) as caught:
            session.ask(command)
        assert caught.value.transient is transient, command
    assert session.ask(s.get(ana)) == ana

    async def play() -> None:
        twin = session.store.as_async()
        for command in _reads(s, ana):
            await asked(twin, command)
        with pytest.raises(StoreUnavailableError, match=setting):
            await asked(twin, s.end(ana))
        await twin.close()

    asyncio.run(play())


@pytest.mark.parametrize("is_known", [True, False])
def test_saving_failed(server: RedisServer, open_session: OpenSession, is_known: bool) -> None:
    """After a save that failed, sessions are found and listed; each change says which setting and what to look at."""
    session = open_session(server.url)
    ana = session.opened("ana", data={"n": 1})
    if not is_known:
        server.command("SCRIPT", "FLUSH")
    _break_saving(server)
    _check(session, ana, "disk.*stop-writes-on-bgsave-error", transient=False)
    server.command("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    assert session.ask(session.s.end(ana)).outcome is Outcome.DONE


def test_replicas_lost(server: RedisServer, open_session: OpenSession) -> None:
    """Without its replicas the server has what it holds read; changes are refused for as long as that lasts."""
    if server.version < (7,):
        pytest.skip(f"{server.installation} does not hold scripts to min-replicas-to-write")
    session = open_session(server.url)
    ana = session.opened("ana", data={"n": 1})
    _demand_replicas(server)
    _check(session, ana, "min-replicas-to-write", transient=True)
    server.command("CONFIG", "SET", "min-replicas-to-write", 0)
    assert session.ask(session.s.end(ana)).outcome is Outcome.DONE


def test_old_server_without_replicas(server: RedisServer, open_session: OpenSession) -> None:
    """Where scripts are not held to the setting, nothing fails because of it."""
    if server.version >= (7,):
        pytest.skip(f"{server.installation} holds scripts to min-replicas-to-write")
    session = open_session(server.url)
    ana = session.opened("ana")
    _demand_replicas(server)
    for command in (*_reads(session.s, ana), session.s.end(ana)):
        session.ask(command)


def test_a_replica_answers_nothing(server: RedisServer, open_session: OpenSession) -> None:
    """What became a replica may be behind: no script is answered there, not even one that only reads."""
    session = open_session(server.url)
    ana = session.opened("ana", data={"n": 1})
    reads = [read for read in _reads(session.s, ana) if read.verb not in ("sweep", "purge")]
    port = free_port()
    server.command("REPLICAOF", "127.0.0.1", port)
    for command in [*reads, session.s.save(ana, {}), session.s.save(ana, {"n": 1}, expected_version=7)]:
        with pytest.raises(StoreUnavailableError, match="read-only replica"):
            session.ask(command)
    server.command("REPLICAOF", "NO", "ONE")
    assert session.ask(session.s.load(ana)).record == ana
