"""Which store a command is about: the option `--store`, or the environment."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sessionguard import SessionGuard
from sessionguard.errors import ConfigurationError
from sessionguard.stores.contract import ExaminedStore, Store
from sessionguard.stores.opening import open_store
from sessionguard.stores.sqlite import SQLiteStore

URL_VARIABLE = "SESSIONGUARD_URL"
WORKSPACES_VARIABLE = "SESSIONGUARD_WORKSPACES"


def add_store_arguments(parser: ArgumentParser, *, with_workspaces: bool = False) -> None:
    """Declare the store, the form of the output and, for what removes files, the workspaces."""
    parser.add_argument("--store", metavar="URL", help=f"such as sqlite:///var/sessions.db (or {URL_VARIABLE})")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    if with_workspaces:
        parser.add_argument(
            "--workspaces",
            metavar="DIR",
            help=f"directory of the workspaces, so that files go as well (or {WORKSPACES_VARIABLE})",
        )


def store_url(arguments: Namespace) -> str:
    """Give the URL of the store.

    Raises:
        ConfigurationError: neither the option nor the environment names one.
    """
    url = arguments.store or os.environ.get(URL_VARIABLE)
    if not url:
        raise ConfigurationError("--store", None, f"name the store, as in sqlite:///sessions.db, or set {URL_VARIABLE}")
    return str(url)


def open_guard(arguments: Namespace) -> SessionGuard:
    """Open a guard over a store that is already there; it sweeps only when asked to.

    Raises:
        ConfigurationError: no store is named, or there is none at that place.
    """
    url = store_url(arguments)
    if url.startswith("sqlite:"):
        _require_database(url)
    workspaces = getattr(arguments, "workspaces", None) or os.environ.get(WORKSPACES_VARIABLE)
    return SessionGuard.open(url, workspaces=workspaces, sweep_interval=None)


@contextmanager
def opened_examined_store(arguments: Namespace) -> Iterator[ExaminedStore]:
    """Open a store that can examine and migrate itself, and close it afterwards.

    Raises:
        ConfigurationError: no store is named, or it cannot do that.
    """
    url = store_url(arguments)
    store = open_store(url)
    if not isinstance(store, Store) or not isinstance(store, ExaminedStore):
        raise ConfigurationError.of_url(url, f"the {store.name} store cannot examine itself", setting="--store")
    try:
        yield store
    finally:
        store.close()


def _require_database(url: str) -> None:
    store = open_store(url)
    # A mistyped path must not become a new, empty database that has nothing to complain about.
    if isinstance(store, SQLiteStore) and not Path(store.path).exists():
        raise ConfigurationError.of_url(url, "there is no database at that path", setting="--store")
