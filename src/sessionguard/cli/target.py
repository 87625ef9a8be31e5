"""Which store a command is about: the option `--store`, or the environment."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sessionguard import SessionGuard
from sessionguard.cli.failure import CommandError
from sessionguard.cli.output import visible
from sessionguard.core.commands import Identify
from sessionguard.errors import ConfigurationError, StoreError
from sessionguard.stores.contract import ExaminedStore, Store
from sessionguard.stores.opening import open_store
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.workspaces.contract import SettledWorkspaces
from sessionguard.workspaces.opening import open_workspaces

URL_VARIABLE = "SESSIONGUARD_URL"
WORKSPACES_VARIABLE = "SESSIONGUARD_WORKSPACES"

_FIRST_MIGRATION = "0001"


def add_store_arguments(parser: ArgumentParser, *, with_workspaces: bool = False) -> None:
    """Declare the store, the form of the output and, for what removes files, the workspaces."""
    parser.add_argument("--store", metavar="URL", help=f"such as sqlite:///var/sessions.db (or {URL_VARIABLE})")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    if with_workspaces:
        add_workspaces_argument(parser, "folder or URL of the workspaces, so that files go as well")


def add_workspaces_argument(parser: ArgumentParser, meaning: str) -> None:
    """Declare the place for files."""
    parser.add_argument("--workspaces", metavar="DIR|URL", help=f"{meaning} (or {WORKSPACES_VARIABLE})")


def place_of(arguments: Namespace) -> str | None:
    """Give the folder or URL of the workspaces, if the option or the environment names one."""
    return arguments.workspaces or os.environ.get(WORKSPACES_VARIABLE) or None


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
def opened_guard(arguments: Namespace, **options: Any) -> Iterator[SessionGuard]:
    """Open a guard over a store that is already there, and close it afterwards; it sweeps only when asked to.

    What else the guard is to know are `options`.

    Raises:
        CommandError: no store is named, or the workspaces are not those of its sessions.
        ConfigurationError: there is no store of this release at that place. Nothing there was changed.
    """
    url = store_url(arguments)
    place = place_of(arguments) if "workspaces" in arguments else None
    workspaces = None if place is None else open_workspaces(place)
    store = open_store(url)
    if isinstance(store, Store):
        with closing(store):
            if isinstance(store, ExaminedStore):
                _require_schema(url, store)
            if isinstance(workspaces, SettledWorkspaces) and not workspaces.is_home_of(store.identify(Identify())):
                # The library would make one, and then there would be no files in it to remove.
                raise CommandError(
                    f"--workspaces {visible(str(place))}: no files of this store's sessions were ever kept there; name "
                    "the folder that the application uses"
                )
    with SessionGuard.open(url, workspaces=workspaces, sweep_interval=None, **options) as guard:
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
