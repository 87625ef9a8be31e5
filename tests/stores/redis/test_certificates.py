"""The files that TLS goes by: looked at when a store opens, and when a connection fails for one of them."""

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.errors import ConfigurationError, StoreUnavailableError
from sessionguard.stores.redis import contact, open_redis
from sessionguard.stores.redis.contact import Contact
from sessionguard.stores.redis.failures import Failure
from sessionguard.testing.servers import RedisServer

UNUSABLE: dict[str, tuple[dict[str, str], str, str]] = {
    "no such file": ({"ssl_ca_certs": "nowhere.pem"}, "ssl_ca_certs", "cannot be read (No such file"),
    "a folder": ({"ssl_ca_certs": "."}, "ssl_ca_certs", "cannot be read (Is a directory"),
    "no certificate": ({"ssl_ca_certs": "junk.pem"}, "ssl_ca_certs", "holds no certificate"),
    "no such certificate": ({"ssl_certfile": "nowhere.pem"}, "ssl_certfile", "cannot be read"),
    "no key": ({"ssl_certfile": "redis.pem"}, "ssl_certfile", "ssl_keyfile"),
    "no such key": ({"ssl_certfile": "redis.pem", "ssl_keyfile": "nowhere.pem"}, "ssl_keyfile", "cannot be read"),
    "another key": ({"ssl_certfile": "redis.pem", "ssl_keyfile": "junk.pem"}, "ssl_keyfile", "is not the key"),
    "only a key": ({"ssl_keyfile": "key.pem"}, "ssl_keyfile", "name its ssl_certfile"),
    "locked key": ({"ssl_certfile": "redis.pem", "ssl_keyfile": "locked.pem"}, "ssl_keyfile", "pass phrase"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_files(name: str, certificate: Path) -> None:
    """A file that cannot be used is named with its option before anything connects; nobody is asked for a phrase."""
    folder = certificate.parent
    (folder / "junk.pem").write_text("no certificate", encoding="utf-8")
    lock = ["openssl", "rsa", "-aes256", "-passout", "pass:phrase", "-in", str(folder / "key.pem")]
    subprocess.run([*lock, "-out", str(folder / "locked.pem")], check=True, capture_output=True)
    files, option, said = UNUSABLE[name]
    options = {known: str(folder / file) for known, file in files.items()}
    with pytest.raises(ConfigurationError) as caught:
        open_redis("rediss://127.0.0.1:1", options)
    assert caught.value.setting == option
    assert said in str(caught.value)
    assert caught.value.value[:60] == repr(options[option])[:60]


def test_files_are_left_alone_if_it_is_not_about_them(certificate: Path) -> None:
    """Where nothing listens, nothing is said of a file, though it is gone."""
    copy = certificate.with_name("copy.pem")
    shutil.copy(certificate, copy)
    store = open_redis("rediss://127.0.0.1:1", {"ssl_ca_certs": str(copy)})
    copy.unlink()
    with pytest.raises(StoreUnavailableError, match="nothing listens"):
        store.identify(c.Identify())
    store.close()


def test_file_that_went_away(port: int, certificate: Path) -> None:
    """A file that can be read no more when a connection is made may be there again soon; it is named, meanwhile."""
    copy = certificate.with_name("copy.pem")
    shutil.copy(certificate, copy)
    url = f"rediss://127.0.0.1:{port}"
    store = open_redis(url, {"ssl_ca_certs": str(copy)})
    store.identify(c.Identify())
    copy.unlink()

    async def play() -> None:
        twin = store.as_async()
        try:
            await twin.identify(c.Identify())
        finally:
            await twin.close()

    store.distrust()
    for ask in (lambda: store.identify(c.Identify()), lambda: asyncio.run(play())):
        with pytest.raises(StoreUnavailableError, match=r"ssl_ca_certs = .* cannot be read") as caught:
            ask()
        assert caught.value.transient
        assert isinstance(caught.value.__cause__, ConfigurationError)
    assert any("cannot be read" in finding.message for finding in store.examine() if finding.level == "problem")
    store.close()


def test_file_that_is_exchanged(port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that finds a file of certificates gone while it is exchanged is served as soon as it is back."""
    copy = certificate.with_name("copy.pem")
    shutil.copy(certificate, copy)
    store = open_redis(f"rediss://127.0.0.1:{port}", {"ssl_ca_certs": str(copy)})
    with SessionGuard(store, sweep_interval=None) as guard:
        token = guard.create("ana").token
        copy.unlink()
        store.distrust()
        explain = Contact.explained

        def explain_and_bring_back(contact: Contact, failure: Failure) -> Any:
            error = explain(contact, failure)
            shutil.copy(certificate, copy)
            return error

        monkeypatch.setattr(Contact, "explained", explain_and_bring_back)
        assert guard.load(token) is not None


def test_connections_outlive_a_file_that_went_away(port: int, certificate: Path) -> None:
    """A connection that cannot be made for want of a file, or of a password, costs none of those that work."""
    copy = certificate.with_name("copy.pem")
    shutil.copy(certificate, copy)
    store = open_redis(f"rediss://127.0.0.1:{port}", {"ssl_ca_certs": str(copy)})
    store.identify(c.Identify())
    (pool,) = store.pools
    (line,) = pool.idle
    assert pool.take(time.monotonic() + 5) is line
    copy.unlink()
    with pytest.raises(StoreUnavailableError):
        store.identify(c.Identify())
    pool.give_back(line)
    assert pool.idle == (line,)
    store.close()


def test_event_loop_is_not_blocked(
    redis_server: RedisServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither files are read nor servers asked in the thread of an event loop, to explain a failure."""
    copy = certificate.with_name("copy.pem")
    shutil.copy(certificate, copy)
    options = {"ssl_ca_certs": str(copy), "patience": "0.4"}
    twin = open_redis(f"rediss://127.0.0.1:{redis_server.port}", options).as_async()
    threads: dict[str, int] = {}

    def noting(name: str) -> Callable[..., Any]:
        does = getattr(contact, name)

        def note(*arguments: Any) -> Any:
            threads[name] = threading.get_ident()
            return does(*arguments)

        return note

    for name in ("speaks", "require_usable"):
        monkeypatch.setattr(contact, name, noting(name))

    async def play() -> None:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await twin.identify(c.Identify())
            copy.unlink(missing_ok=True)
        await twin.close()

    asyncio.run(play())
    assert threads.keys() == {"speaks", "require_usable"}
    assert threading.get_ident() not in threads.values()
