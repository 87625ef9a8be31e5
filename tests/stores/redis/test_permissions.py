"""The user that the documentation recommends: its permissions suffice, and what it may not see is said once."""

import asyncio
import logging
import re
from pathlib import Path

import pytest

from sessionguard.stores.redis import RedisStore, examination
from sessionguard.testing.contracts.stage import IDLE, SECOND, Stage
from sessionguard.testing.servers import RedisServer
from tests.stores.redis.asking import asked
from tests.stores.redis.conftest import OpenSession

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "redis.md"


def _recommended() -> list[str]:
    found = re.search(r"`ACL SETUSER app on >password ~sg:\* ([^`]*)`", GUIDE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1].split()


def _user(server: RedisServer, prefix: str, grants: list[str]) -> str:
    """Make a user with these permissions and nothing else; give a URL without a database."""
    name = f"app-{prefix}"
    server.command("ACL", "SETUSER", name, "on", ">password", f"~{prefix}:*", *grants)
    return f"redis://{name}:password@127.0.0.1:{server.port}"


def test_doctor_recommends_the_same() -> None:
    """The remedy and the guide name the same permissions."""
    assert examination._GRANTS.split() == _recommended()


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
