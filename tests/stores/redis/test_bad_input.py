"""Wrong URLs, passwords, servers and settings: an error that says what to do, soon, and without any secret."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.errors import ConfigurationError, MissingExtraError, MisuseError, StoreError, StoreUnavailableError
from sessionguard.stores.redis import AsyncRedisStore, RedisStore, handshake, open_redis, permissions
from sessionguard.stores.redis.asking import Address
from sessionguard.testing.contracts.stage import IDLE, Stage
from sessionguard.testing.servers import RedisCluster, RedisServer
from tests.stores.redis.asking import Session

SECRET = "hunter2-secret"


@contextmanager
def _identifying(url: str, **options: object) -> Iterator[RedisStore]:
    store = RedisStore(url, patience_seconds=1.0, **options)  # type: ignore[arg-type]
    began = time.monotonic()
    try:
        yield store
    finally:
        assert time.monotonic() - began < 5
        store.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://", "redis://host:0", "redis://host:99999", "redis://host:port", "redis://a,b", "redis://host/x",
        "redis://host/0/1", "redis+cluster://a/1", "redis+sentinel://a", "redis+sentinel://a/my service/0",
        "http://host", f"redis://:{SECRET}@ho st", "redis://host/-1", "redis://host/٣",
    ],
)  # fmt: skip
def test_wrong_urls(url: str) -> None:
    """A URL that is none is refused before anything connects, and no part of it that may be secret is shown."""
    with pytest.raises(ConfigurationError) as caught:
        open_redis(url, {})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"colour": SECRET}, {"prefix": "a:b"}, {"prefix": "{x}"}, {"prefix": ""}, {"prefix": "x" * 65},
        {"patience": "soon"}, {"patience": "-1"}, {"patience": "nan"}, {"pool": "0"}, {"ssl_ca_certs": "/x.pem"},
    ],
)  # fmt: skip
def test_wrong_options(options: dict[str, str]) -> None:
    """An option that is unknown or out of range is refused, with what is right."""
    with pytest.raises(ConfigurationError) as caught:
        open_redis("redis://host", options)
    assert SECRET not in str(caught.value)


def test_right_urls(certificate: Path) -> None:
    """Every form that is documented is understood; the same settings are used from an event loop."""
    options = {"patience": "2.5", "pool": "7", "ssl_ca_certs": str(certificate)}
    single = open_redis("rediss://user:p%40ss@host:1234/3?x", options)
    settings = single.settings
    assert (settings.addresses, settings.db, settings.username) == ((Address("host", 1234),), 3, "user")
    assert (settings.password, settings.patience_seconds, settings.pool_size) == ("p@ss", 2.5, 7)
    assert settings.encryption is not None
    assert settings.encryption.ca_certs == str(certificate)
    assert "p@ss" not in repr(settings)
    twin = single.as_async()
    assert isinstance(twin, AsyncRedisStore)
    assert twin.settings == settings
    watched = open_redis("redis+sentinel://:pw@one,two:5/mymaster/2", {"sentinel_password": SECRET})
    assert watched.settings.addresses == (Address("one", 26379), Address("two", 5))
    assert (watched.settings.service, watched.settings.db) == ("mymaster", 2)
    assert SECRET not in repr(watched.settings)
    cluster = open_redis("redis+cluster://[::1]:7000,b", {"prefix": "app-1", "allow_eviction": "true"})
    assert cluster.settings.addresses == (Address("::1", 7000), Address("b", 6379))
    assert cluster.keys.prefix == "app-1"
    assert cluster.settings.allow_eviction


def test_entry_points() -> None:
    """Every scheme leads to the opener."""
    found = {entry.name: entry.value for entry in metadata.entry_points(group="sessionguard.stores")}
    schemes = {"redis", "rediss", "valkey", "valkeys"}
    schemes |= {f"{scheme}+{topology}" for scheme in ("redis", "rediss") for topology in ("sentinel", "cluster")}
    assert schemes <= found.keys()
    assert {found[scheme] for scheme in schemes} == {"sessionguard.stores.redis:open_redis"}


def test_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py the store says which extra to install; with an old one, that it is too old."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    kept = {name: module for name, module in sys.modules.items() if name.startswith("sessionguard.stores.redis")}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    try:
        with pytest.raises(MissingExtraError, match=r"pip install 'redis>=8\.1'"):
            import_module("sessionguard.stores.redis")
        monkeypatch.undo()
        for name in kept:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(metadata, "version", lambda name: "7.4.1")
        with pytest.raises(ConfigurationError, match=r"redis>=8\.1"):
            import_module("sessionguard.stores.redis")
    finally:
        monkeypatch.undo()
        sys.modules.update(kept)


def test_nobody_there() -> None:
    """A host that does not exist and a port where nobody listens are unavailable."""
    for url in ("redis://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m", "redis+cluster://127.0.0.1:1,127.0.0.1:2"):
        with _identifying(url) as store, pytest.raises(StoreUnavailableError) as caught:
            run(perform(c.Identify()), store)
        assert caught.value.transient


def test_wrong_password() -> None:
    """A wrong or missing password is said so, is not transient, and is not in the message."""
    with RedisServer(appendonly="no", password="right") as server:
        for url in (server.url.replace(":right@", f":{SECRET}@"), server.url.replace(":right@", "")):
            with (
                _identifying(url) as store,
                pytest.raises(StoreUnavailableError, match="password") as caught,
            ):
                run(perform(c.Identify()), store)
            assert not caught.value.transient
            assert SECRET not in str(caught.value) + repr(caught.value.__cause__) + repr(store.settings)
        with _identifying(server.url) as store:
            run(perform(c.Identify()), store)


def test_no_permission() -> None:
    """A user without a permission is told which; nothing is retried."""
    with RedisServer(appendonly="no") as server:
        server.command("ACL", "SETUSER", "app", "on", ">pw", "~other:*", "+@all")
        url = server.url.replace("redis://", "redis://app:pw@")
        with _identifying(url) as store, pytest.raises(StoreUnavailableError, match="keys sg:") as caught:
            run(perform(c.Identify()), store)
        assert not caught.value.transient


def test_documented_permissions_suffice() -> None:
    """A user with exactly the permissions that doctor names can do everything, also without INFO and CONFIG."""
    with RedisServer(appendonly="no") as server:
        for number, grants in enumerate((permissions.GRANTS, permissions.GRANTS.replace(" +info", ""))):
            server.command("ACL", "SETUSER", f"app{number}", "on", ">pw", "~sg:*", *grants.split())
            with _identifying(server.url.replace("redis://", f"redis://app{number}:pw@")) as store:
                s = Stage(run(perform(c.Identify()), store))
                session = Session(store, s)
                ana = session.opened("ana", data={"n": 1})
                commands: tuple[c.Command[Any], ...] = (
                    s.load(ana), s.save(ana, {"n": 2}, remove=("x",)), s.rotate(ana, owner="zoe"),
                    s.acquire(ana, "one"), s.release(ana, "one"), s.replace("zoe"), s.end(ana), s.end_owner("zoe"),
                    s.page(), s.page(owner="zoe"), s.sweep(at=IDLE), s.purge(IDLE, at=3 * IDLE),
                )  # fmt: skip
                for command in commands:
                    session.ask(command)
                store.examine()


def test_old_server(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, key_prefix: str) -> None:
    """A server before 6.2 is refused at the first connection."""
    monkeypatch.setattr(handshake, "_OLDEST", (99, 0))
    with _identifying(redis_server.url, prefix=key_prefix) as store, pytest.raises(StoreError, match=r"use Redis 6\.2"):
        run(perform(c.Identify()), store)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_evicting_server(policy: str) -> None:
    """A server that would throw sessions away is refused with the remedy, unless that is allowed."""
    with RedisServer(appendonly="no", config={"maxmemory-policy": policy}) as server:
        with _identifying(server.url) as store, pytest.raises(StoreError, match=rf"{policy}.*set noeviction"):
            run(perform(c.Identify()), store)
        with _identifying(server.url, allow_eviction=True) as store:
            run(perform(c.Identify()), store)


def test_wrong_topology(redis_server: RedisServer, redis_cluster: RedisCluster, key_prefix: str) -> None:
    """One server taken for a cluster, and a cluster taken for one server, are refused with the right scheme."""
    single, cluster = (
        redis_server.url.replace("redis://", "redis+cluster://").removesuffix("/0"),
        redis_cluster.nodes[0],
    )
    with _identifying(single, prefix=key_prefix) as store, pytest.raises(StoreError, match="write the URL as redis://"):
        run(perform(c.Identify()), store)
    with _identifying(cluster.url, prefix=key_prefix) as store, pytest.raises(StoreError, match=r"redis\+cluster://"):
        run(perform(c.Identify()), store)


def test_unread_guard_is_required(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, key_prefix: str) -> None:
    """A driver that speaks RESP3 after all, and so would not look for unread replies, is not used."""
    arguments = handshake.connection_arguments
    monkeypatch.setattr(handshake, "connection_arguments", lambda *a, **k: arguments(*a, **k) | {"protocol": 3})
    with _identifying(redis_server.url, prefix=key_prefix) as store, pytest.raises(StoreError, match="RESP2"):
        run(perform(c.Identify()), store)


def test_newer_format(single: Session, redis_server: RedisServer) -> None:
    """What a newer release wrote is refused, by every way in, and stays as it is."""
    key = f"{single.store.keys.prefix}:meta"
    redis_server.command("SET", key, f"2 {'0' * 32}")
    with _identifying(redis_server.url, prefix=single.store.keys.prefix) as store:
        for ask in (lambda: run(perform(c.Identify()), store), store.migrate, lambda: store.migrate(dry_run=True)):
            with pytest.raises(StoreError, match="upgrade sessionguard, or choose another prefix"):
                ask()
        assert any(finding.level == "problem" for finding in store.examine())
    assert redis_server.command("GET", key) == f"2 {'0' * 32}"


def test_closed_store(single: Session) -> None:
    """A closed store can be closed again, and does nothing else."""
    single.store.close()
    single.store.close()
    with pytest.raises(MisuseError):
        single.opened()


def test_a_slip_in_an_option_is_not_taken_for_false() -> None:
    """`allow_eviction` is true or false; anything else is refused when the URL is read."""
    with pytest.raises(ConfigurationError, match="allow_eviction is true or false"):
        open_redis("redis://127.0.0.1:1/0?allow_eviction=ture", {"allow_eviction": "ture"})
