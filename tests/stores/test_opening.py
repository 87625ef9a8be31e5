"""`open_store`: from a URL to a store, by entry points; wrong URLs are named without their passwords."""

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, ConfigurationError, SessionGuard, open_store
from sessionguard.errors import without_secrets
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.offload import OffloadedStore
from sessionguard.stores.sqlite import SQLiteStore


class Entry:
    """An entry point that a third party might have."""

    def __init__(
        self, name: str, opener: Callable[[str, Mapping[str, str]], Any], value: str = "acme.stores:open_it"
    ) -> None:
        self.name = name
        self.value = value
        self.opener = opener

    def load(self) -> Callable[[str, Mapping[str, str]], Any]:
        """Give what it names."""
        return self.opener


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[Entry], None]:
    """Registers an entry point beside those that are installed."""

    def register(entry: Entry) -> None:
        def entry_points(*, group: str, name: str | None = None) -> list[Any]:
            known = [*installed(group=group), entry]
            return [each for each in known if name is None or each.name == name]

        installed = metadata.entry_points
        monkeypatch.setattr(metadata, "entry_points", entry_points)

    return register


def test_own_stores_are_found_by_their_urls(tmp_path: Path) -> None:
    """Both stores of this package are entry points like any other."""
    assert isinstance(open_store("memory://"), MemoryStore)
    store = open_store(f"sqlite:///{tmp_path}/sessions.db")
    assert isinstance(store, SQLiteStore)
    assert store.path == f"{tmp_path}/sessions.db"
    assert list(tmp_path.iterdir()) == []


def test_scheme_is_the_same_in_capitals() -> None:
    """As in every URL."""
    assert isinstance(open_store("MEMORY://"), MemoryStore)


def test_third_party_store_is_opened_by_its_entry_point(register: Callable[[Entry], None]) -> None:
    """It gets the URL as it was written, and the options behind the question mark."""
    seen: list[tuple[str, Mapping[str, str]]] = []

    def open_it(url: str, options: Mapping[str, str]) -> MemoryStore:
        seen.append((url, options))
        return MemoryStore()

    register(Entry("acme", open_it))
    url = "acme://host/path?size=3&note=a%20b&empty=&&bare&file=/etc/a+b.pem&sum=1%2B1=2"
    guard = SessionGuard.open(url, sweep_interval=None)
    assert guard.create("ada").token
    assert seen == [(url, {
        "size": "3", "note": "a b", "empty": "", "bare": "", "file": "/etc/a+b.pem", "sum": "1+1=2",
    })]  # fmt: skip


def test_two_packages_with_one_name_are_told_apart_by_nobody(register: Callable[[Entry], None]) -> None:
    """The message names both; which one counts is not guessed. One package found twice is one."""
    register(Entry("acme", lambda url, options: MemoryStore()))
    register(Entry("acme", lambda url, options: MemoryStore()))
    assert isinstance(open_store("acme://host"), MemoryStore)
    register(Entry("acme", lambda url, options: MemoryStore(), "other.acme:open_acme"))
    with pytest.raises(ConfigurationError, match=r"acme\.stores:open_it, other\.acme:open_acme"):
        open_store("acme://host")


def test_async_store_by_url_needs_the_async_guard(register: Callable[[Entry], None]) -> None:
    """The blocking guard says so before anything is opened."""
    register(Entry("acme", lambda url, options: OffloadedStore(MemoryStore())))
    with pytest.raises(ConfigurationError, match="AsyncSessionGuard"):
        SessionGuard.open("acme://user:hidden@host")
    assert isinstance(AsyncSessionGuard.open("acme://host"), AsyncSessionGuard)


@pytest.mark.parametrize("url", ["", "sessions.db", "/var/sessions.db", "memory:", "sqlite", None, 7])
def test_what_is_no_url_is_refused(url: Any) -> None:
    """The message shows how one is written."""
    with pytest.raises(ConfigurationError, match="memory://"):
        open_store(url)


def test_what_was_given_instead_of_a_url_is_shown() -> None:
    """As it is if it cannot be a secret, else by its type."""
    for value, shown in ((None, "None"), (5, "5"), ("", "''"), (b"x", "'(bytes)'"), ({"a": 1}, "'(dict)'")):
        with pytest.raises(ConfigurationError) as caught:
            open_store(value)  # type: ignore[arg-type]
        assert caught.value.value == shown


def test_unknown_scheme_names_those_there_are() -> None:
    """And keeps the password."""
    with pytest.raises(ConfigurationError) as caught:
        open_store("carrierpigeon://user:hidden@loft/sessions")
    assert "memory://" in str(caught.value)
    assert "sqlite://" in str(caught.value)
    assert "hidden" not in str(caught.value) + repr(vars(caught.value))


def test_option_given_twice_is_refused() -> None:
    """Which one counts is not guessed."""
    with pytest.raises(ConfigurationError, match="once"):
        open_store("memory://?allow_per_process=true&allow_per_process=false")


@pytest.mark.parametrize("url", ["memory://?allow_per_proces=true", "sqlite:///x.db?jornal=wal"])
def test_misspelt_option_is_refused(url: str) -> None:
    """A setting that does nothing would be worse than none."""
    with pytest.raises(ConfigurationError, match="option"):
        open_store(url)


SECRETIVE = [
    "postgresql://user:hidden@host/db",
    "postgresql://user:p@hidden@host/db",
    "postgresql://host/db?user=u&password=hidden",
    "postgresql://host/db#hidden",
    "postgresql://host/db;password=hidden",
    "redis://:hidden@host:6379/0",
    "redis://u:hi/hidden@host/0",
    "redis://u:hi#hidden@host/0",
    "redis://u:hi?hidden@host/0",
    "redis://u:hi\nhidden@host/0",
    "redis://u:hidden@host?x=a@b",
    "redis://user:hidden@[::1]:6379",
    "redis://user:hidden@[broken",
    "redis:u:hidden@host/0?x=http://host",
    "sqlite://u:hidden@host/x.db",
    "sqlite://u:hi?hidden@host/x.db",
    "sqlite:///x.db?password=hidden",
    "sqlite:///x.db?patience=hidden",
    "memory://?hidden",
    "memory://u:hi?hidden@host",
    "memory://?x=hidden&x=2",
    "acme:user:hidden@host",
    "acme:/user:hidden@host",
    "acme:/host?password=hidden",
    "user:hidden@host/db",
    "host=h password=hidden",
    b"postgresql://user:hidden@host/db",
]


@pytest.mark.parametrize("url", SECRETIVE, ids=str)
def test_t36_secrets_are_left_out(url: Any) -> None:
    """Whatever is wrong with a URL, no password and no value of an option is in the error, or in a store's repr."""
    try:
        store = open_store(url)
    except ConfigurationError as error:
        shown = str(error) + repr(vars(error)) + "".join(map(repr, error.args))
    else:
        shown = repr(store)
        close: Any = store.close
        close()
    assert "hidden" not in shown


@pytest.mark.parametrize(
    "url, shown",
    [
        ("sqlite:///var/sessions.db", "sqlite:///var/sessions.db"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("var/sessions.db", "var/sessions.db"),
        ("acme://user:hidden@host/db?x=1", "acme://***@host/db?***"),
        ("sqlite:/x", "sqlite:/x"),
        ("sqlite:/var/x.db?patience=1", "sqlite:/var/x.db?***"),
        ("user:hidden", "***"),
    ],
)
def test_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    """It tells which of several URLs is meant."""
    assert without_secrets(url) == shown
