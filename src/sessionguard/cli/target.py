"""Which store a command is about: the option `--store`, or the environment."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sessionguard import SessionGuard
from sessionguard.cli.failure import CommandError
from sessionguard.cli.output import visible
from sessionguard.errors import ConfigurationError, StoreError
from sessionguard.stores.contract import ExaminedStore, Store
from sessionguard.stores.opening import open_store
from sessionguard.stores.sqlite import SQLiteStore

URL_VARIABLE = "SESSIONGUARD_URL"
WORKSPACES_VARIABLE = "SESSIONGUARD_WORKSPACES"

_FIRST_MIGRATION = "0001"


def add_store_arguments(parser: ArgumentParser, *, with_workspaces: bool = False) -> None:
    """Declare the store, the form of the output and, for what removes files, the workspaces."""
    parser.add_argument("--store", metavar="URL", help=f"such as sqlite:///var/sessions.db (or {URL_VARIABLE})")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    if with_workspaces:
        parser.add_argument(
            "--workspaces",
            metavar="DIR|URL",
            help=f"folder or URL of the workspaces, so that files go as well (or {WORKSPACES_VARIABLE})",
        )


def store_url(arguments: Namespace) -> str:
    """Give the URL of the store.

    Raises:
        CommandError: neither the option nor the environment names one.
    """
    url = arguments.store or os.environ.get(URL_VARIABLE)
    if not url:
        raise CommandError(f"give --store URL, such as sqlite:///var/sessions.db, or set {URL_VARIABLE}")
    return str(url)


@contextmanager
def opened_guard(arguments: Namespace) -> Iterator[SessionGuard]:
    """Open a guard over a store that is already there, and close it afterwards; it sweeps only when asked to.

    Raises:
        CommandError: no store is named, or the folder of the workspaces does not exist.
        ConfigurationError: there is no store of this release at that place. Nothing there was changed.
    """
    url = store_url(arguments)
    workspaces = _workspaces(arguments)
    store = open_store(url)
    if isinstance(store, Store) and isinstance(store, ExaminedStore):
        with closing(store):
            _require_schema(url, store)
    with SessionGuard.open(url, workspaces=workspaces, sweep_interval=None) as guard:
        yield guard


@contextmanager
def opened_examined_store(arguments: Namespace, *, must_exist: bool = False) -> Iterator[ExaminedStore]:
    """Open a store that can examine and migrate itself, and close it afterwards.

    Raises:
        CommandError: no store is named.
        ConfigurationError: it cannot do that, or it must exist and there is none at that place.
    """
    url = store_url(arguments)
    store = open_store(url)
    if not isinstance(store, Store) or not isinstance(store, ExaminedStore):
        raise ConfigurationError.of_url(url, f"the {store.name} store cannot examine itself", setting="--store")
    with closing(store):
        if must_exist:
            # What is damaged or out of date is for the examination to tell.
            with suppress(StoreError):
                _require_schema(url, store, up_to_date=False)
        yield store


def _require_schema(url: str, store: ExaminedStore, *, up_to_date: bool = True) -> None:
    # Asked first, for at its first use a store makes its file and its tables: a mistyped path must not become a new,
    # empty database that has nothing to complain about, nor another application's database one of ours.
    path = getattr(store, "path", None)
    is_there = Path.is_file if isinstance(store, SQLiteStore) else Path.exists
    if path is not None and not is_there(Path(path)):
        raise ConfigurationError.of_url(url, "there is no database at that path", setting="--store")
    due = store.migrate(dry_run=True)
    # Migrations are numbered: where the first is due, nothing of ours is there.
    if due and due[0].startswith(_FIRST_MIGRATION):
        remedy = "no sessionguard schema there; run `sessionguard migrate`"
        raise ConfigurationError.of_url(url, remedy, setting="--store")
    if due and up_to_date:
        raise ConfigurationError.of_url(url, "its schema is out of date; run `sessionguard migrate`", setting="--store")


def _workspaces(arguments: Namespace) -> str | None:
    if "workspaces" not in arguments:
        return None
    folder = arguments.workspaces or os.environ.get(WORKSPACES_VARIABLE)
    if folder and "://" not in folder and not Path(folder).is_dir():
        # The library would make it, and then there would be no files in it to remove.
        raise CommandError(f"the folder of the workspaces does not exist: {visible(folder)}")
    return folder or None
