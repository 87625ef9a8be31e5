"""How the guards under test are made, on each engine, and with a policy whose limits are met in a short trace."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from sessionguard import AsyncSessionGuard, SessionGuard, SessionPolicy
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import Place

POLICY = SessionPolicy(
    idle_timeout=timedelta(minutes=10),
    absolute_timeout=timedelta(minutes=25),
    touch_interval=timedelta(seconds=30),
    history_retention=timedelta(hours=1),
    max_data_bytes=400,
    workspace_bytes=120,
    workspace_files=3,
)

GUARDS: dict[str, Any] = {"blocking": SessionGuard, "async": AsyncSessionGuard}
LocalUrl = Callable[[Place], str]

LOCAL: dict[str, LocalUrl] = {
    "sqlite": lambda place: f"sqlite:///{place.folder}/sessions.db",
    "file": lambda place: f"file:///{place.folder}/sessions",
}


def make_memory_store() -> MemoryStore:
    """Give a store whose sessions all guards of a place share."""
    return MemoryStore(allow_per_process=True)


def on_memory(kind: str, place: Place) -> Any:
    """Give a guard on a memory store, with files."""
    store = place.once(make_memory_store)
    return GUARDS[kind](store, place.workspaces, POLICY, clock=place.clock, sweep_interval=None)


def on_url(url: LocalUrl, kind: str, place: Place) -> Any:
    """Give a guard on what the URL of this place names, with files."""
    return GUARDS[kind].open(url(place), place.workspaces, POLICY, clock=place.clock, sweep_interval=None)


def on_store(make_store: Callable[[], Any], place: Place) -> SessionGuard:
    """Give a blocking guard without files on a store of one object."""
    return SessionGuard(place.once(make_store), None, POLICY, clock=place.clock, sweep_interval=None)


def made_on(engine: str, kind: str) -> Callable[[Place], Any]:
    """Give the function that makes guards of a kind on an engine of this machine."""
    return partial(on_memory, kind) if engine == "memory" else partial(on_url, LOCAL[engine], kind)
