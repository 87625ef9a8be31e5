"""What doctor says about Redis servers: each finding with its remedy, and no secret in any."""

import asyncio
import time
from collections.abc import Iterable

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.core.findings import Finding
from sessionguard.stores.contract import AsyncTwin, ExaminedStore
from sessionguard.stores.redis import RedisStore
from sessionguard.testing.servers import RedisCluster, RedisServer
from tests.stores.redis.asking import Session

SECRET = "hunter2-secret"


def _about(findings: Iterable[Finding], subject: str) -> list[Finding]:
    return [finding for finding in findings if finding.subject.startswith(subject)]


def test_a_healthy_server(session: Session, place: RedisServer | RedisCluster) -> None:
    """Every subject is told for every server, blocking and async alike, and nothing is a problem."""
    assert isinstance(session.store, ExaminedStore)
    assert isinstance(session.store, AsyncTwin)
    session.opened("ana")
    findings = session.store.examine()
    count = 1 if isinstance(place, RedisServer) else 3
    for subject in ("server", "eviction", "memory", "durability", "replicas", "clock"):
        assert len(_about(findings, subject)) == count, subject
    for subject in ("driver", "topology", "format", "content"):
        assert len(_about(findings, subject)) == 1, subject
    assert not [finding for finding in findings if finding.level == "problem"]
    assert all(finding.remedy for finding in findings if finding.level != "ok")
    assert "1 sessions" in _about(findings, "content")[0].message
    assert session.store.migrate(dry_run=True) == session.store.migrate() == []

    async def examine() -> list[Finding]:
        twin = session.store.as_async()
        try:
            assert await twin.migrate() == []
            return await twin.examine()
        finally:
            await twin.close()

    same = asyncio.run(examine())
    assert [finding.subject for finding in same] == [finding.subject for finding in findings]


@pytest.mark.parametrize(
    "config,appendonly,subject,word",
    [
        ({"maxmemory-policy": "allkeys-lru"}, "no", "eviction", "noeviction"),
        ({}, "no", "durability", "appendonly yes"),
        ({"save": "60 1"}, "no", "durability", "appendonly yes"),
        ({}, "everysec", "durability", "appendfsync always"),
        ({}, "no", "memory", "set maxmemory"),
    ],
)
def test_what_is_wrong(config: dict[str, str], appendonly: str, subject: str, word: str) -> None:
    """Every setting that loses sessions is found, with what to set instead."""
    with RedisServer(appendonly=appendonly, config=config, password=SECRET) as server:  # type: ignore[arg-type]
        store = RedisStore(server.url)
        findings = store.examine()
        store.close()
    (finding,) = _about(findings, subject)
    assert finding.level != "ok"
    assert word in finding.remedy
    assert SECRET not in repr(findings)


def test_little_memory_left() -> None:
    """A server that has used nearly all that it may is told so, before it is full."""
    with RedisServer(appendonly="no") as server:
        server.command("CONFIG", "SET", "maxmemory", int(int(server.info("memory")["used_memory"]) * 1.1))
        store = RedisStore(server.url)
        (finding,) = _about(store.examine(), "memory")
        store.close()
    assert (finding.level, finding.remedy[:15]) == ("warning", "raise maxmemory")


def test_always_is_durable() -> None:
    """A server that syncs each write is told to lose nothing."""
    with RedisServer(appendonly="always") as server:
        store = RedisStore(server.url)
        (finding,) = _about(store.examine(), "durability")
        store.close()
    assert finding.level == "ok"


def test_no_server() -> None:
    """A server that does not answer is one problem with a remedy; nothing is raised."""
    for url in (
        f"redis://:{SECRET}@127.0.0.1:1",
        f"redis+cluster://:{SECRET}@127.0.0.1:1",
        "redis+sentinel://127.0.0.1:1/m",
    ):
        store = RedisStore(url, patience_seconds=1)
        findings = store.examine()
        store.close()
        (problem,) = [finding for finding in findings if finding.level == "problem"]
        assert problem.remedy
        assert SECRET not in repr(findings)


def test_wrong_clock(single: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that differ are told with the difference."""
    run(perform(c.Identify()), single.store)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    (finding,) = _about(single.store.examine(), "clock")
    assert finding.level == "warning"
    assert "+3600 s" in finding.message
