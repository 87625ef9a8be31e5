"""The user that the documentation recommends: its permissions suffice, and what it may not see is said once."""

import asyncio
import logging
import re
from pathlib import Path
from typing import Any, Literal

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.core.findings import Finding
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import RedisStore, permissions
from sessionguard.testing.contracts.stage import IDLE, SECOND, Stage
from sessionguard.testing.servers import RedisCluster, RedisServer
from tests.stores.redis.asking import asked, servers_of
from tests.stores.redis.conftest import OpenSession

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "redis.md"


def _recommended() -> list[str]:
    found = re.search(r"`ACL SETUSER app on >password ~sg:\* ([^`]*)`", GUIDE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1].split()


def _optional() -> list[str]:
    found = re.search(r"optional: `([^`]*)`", GUIDE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1].split()


def _user(server: RedisServer, prefix: str, grants: list[str], keys: str | None = None) -> str:
    """Make a user with these permissions and nothing else; give a URL without a database."""
    name = f"app-{prefix}"
    server.command("ACL", "SETUSER", name, "reset", "on", ">password", f"~{keys or prefix}:*", *grants)
    return f"redis://{name}:password@127.0.0.1:{server.port}"


def test_doctor_recommends_the_same() -> None:
    """The remedy and the guide name the same permissions, and the same one as not needed."""
    assert permissions.GRANTS.split() == _recommended()
    assert _optional() == [permissions.READS_SETTINGS]


@pytest.mark.parametrize("db", [0, 1])
def test_recommended_permissions_suffice(
    redis_server: RedisServer, key_prefix: str, open_session: OpenSession, db: int
) -> None:
    """With them everything works, in any database."""
    session = open_session(f"{_user(redis_server, key_prefix, _recommended())}/{db}")
    s = session.s
    ana = session.opened("ana", data={"n": 1})
    session.ask(s.save(ana, {"n": 2}))
    session.ask(s.acquire(ana, "one"))
    session.ask(s.release(ana, "one"))
    visitor = session.ask(s.create("anonymous")).record
    session.ask(s.rotate(visitor, owner="ana"))
    assert len(session.ask(s.page(owner="ana")).records) == 2
    assert len(session.ask(s.page()).records) == 2
    session.opened("bea")
    assert len(session.ask(s.end_owner("ana")).records) == 2
    assert len(session.ask(s.sweep(at=IDLE + SECOND)).records) == 1
    session.ask(s.purge(at=2 * IDLE))
    assert not [finding for finding in session.store.examine() if finding.level == "problem"]


def test_what_it_cannot_check_is_said_once(
    redis_server: RedisServer, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that may not ask for the settings of its server says so once, however often it connects anew."""
    url = _user(redis_server, key_prefix, [grant for grant in _recommended() if grant != "+info"])
    command = Stage("0" * 32).sweep()
    store = RedisStore(url, prefix=key_prefix)

    async def play() -> None:
        twin = store.as_async()
        for _ in range(3):
            await asked(twin, command)
            await twin.distrust()
        await twin.close()

    with caplog.at_level(logging.WARNING, "sessionguard.redis"):
        for _ in range(3):
            store.sweep(command)
            store.distrust()
        assert len(caplog.records) == 1
        asyncio.run(play())
        assert len(caplog.records) == 2
    store.close()


def _examined(url: str, prefix: str) -> dict[str, Finding]:
    store = RedisStore(url, prefix=prefix)
    try:
        return {finding.subject.split()[0]: finding for finding in store.examine()}
    finally:
        store.close()


@pytest.mark.parametrize("appendonly", ["no", "everysec"])
def test_doctor_under_the_recommended_user(key_prefix: str, appendonly: Literal["no", "everysec"]) -> None:
    """What its user may not read is information that names the permission; with that one too, it is read."""
    with RedisServer(appendonly=appendonly) as server:
        url = _user(server, key_prefix, _recommended())
        durability = _examined(url, key_prefix)["durability"]
        assert "could not be read" in durability.message
        assert permissions.READS_SETTINGS in durability.message
        # Without the append-only file something is lost, whatever else is set.
        assert durability.level == ("warning" if appendonly == "no" else "ok")
        findings = _examined(_user(server, key_prefix, _recommended() + _optional()), key_prefix)
    assert not [finding for finding in findings.values() if "could not be read" in finding.message]
    assert findings["durability"].message.startswith("no persistence" if appendonly == "no" else "AOF, appendfsync eve")


def test_doctor_that_may_not_ask(redis_server: RedisServer, key_prefix: str) -> None:
    """Without INFO nothing is claimed about what INFO tells, and each gap names the permission that fills it."""
    url = _user(redis_server, key_prefix, [grant for grant in _recommended() if grant not in ("+info", "+time")])
    findings = _examined(url, key_prefix)
    assert not {"memory", "durability", "replicas"} & findings.keys()
    for subject, permission in (("server", "+info"), ("eviction", "+info"), ("clock", "+time")):
        assert findings[subject].level == "warning"
        assert permission in findings[subject].remedy
    assert not [finding for finding in findings.values() if finding.level == "problem"]


COMMANDS = ["evalsha", "select", "echo"]


@pytest.mark.parametrize("missing", COMMANDS)
def test_the_refused_command_is_named(redis_server: RedisServer, key_prefix: str, missing: str) -> None:
    """An error names the command that was refused and the rule that allows it, with the prefix of this store."""
    url = _user(redis_server, key_prefix, [*_recommended(), f"-{missing}"])
    store = RedisStore(f"{url}/1", prefix=key_prefix)
    # Listing asks plain questions beside its scripts.
    command: c.Command[Any] = Stage("0" * 32).page() if missing == "echo" else c.Identify()
    with pytest.raises(StoreUnavailableError, match=f"'{missing}'") as caught:
        run(perform(command), store)
    store.close()
    assert not caught.value.transient
    assert f"ACL SETUSER <user> +{missing}" in str(caught.value)
    assert permissions.rule(key_prefix) in str(caught.value)


def test_refused_in_a_script(place: RedisServer | RedisCluster, key_prefix: str, open_session: OpenSession) -> None:
    """A command that only a script may not run is a lack of permission, too, on every server; so are foreign keys."""
    cluster = [] if isinstance(place, RedisServer) else ["+cluster|slots"]
    open_session(place.url)
    for grants, keys, said in (
        ([*_recommended(), "-get"], None, "command of its scripts|'get'"),
        (_recommended(), "other", f"keys {key_prefix}:"),
    ):
        url, *_ = [_user(server, key_prefix, [*grants, *cluster], keys) for server in servers_of(place)]
        url = url.replace("redis://", "redis+cluster://") if cluster else url
        store = RedisStore(url, prefix=key_prefix)
        with pytest.raises(StoreUnavailableError, match=said) as caught:
            run(perform(c.Identify()), store)
        assert not caught.value.transient
        assert permissions.rule(key_prefix) in str(caught.value)
        problems = [finding for finding in store.examine() if finding.level == "problem"]
        store.close()
        assert [finding.subject for finding in problems] == ["permissions"]
        assert problems[0].remedy == permissions.rule(key_prefix)


def test_cluster_whose_nodes_may_not_be_asked(redis_cluster: RedisCluster, key_prefix: str) -> None:
    """A user of a cluster who may not learn where its slots are is told the one command that is missing."""
    url = _user(redis_cluster.nodes[0], key_prefix, _recommended()).replace("redis://", "redis+cluster://")
    store = RedisStore(url, prefix=key_prefix)
    with pytest.raises(StoreUnavailableError, match=r"ACL SETUSER <user> \+cluster") as caught:
        run(perform(c.Identify()), store)
    store.close()
    assert not caught.value.transient
