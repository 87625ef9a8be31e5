"""Which store a command is about: that of an application, or the option `--store`, or the environment."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from sessionguard import SessionGuard
from sessionguard.cli.failure import CommandError
from sessionguard.cli.output import visible
from sessionguard.core.commands import Identify
from sessionguard.core.findings import Finding
from sessionguard.errors import ConfigurationError, StoreError
from sessionguard.stores.contract import ExaminedStore, Store
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.opening import open_store
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.workspaces import Workspaces
from sessionguard.workspaces.contract import SettledWorkspaces
from sessionguard.workspaces.opening import open_workspaces

URL_VARIABLE = "SESSIONGUARD_URL"
WORKSPACES_VARIABLE = "SESSIONGUARD_WORKSPACES"

_FIRST_MIGRATION = "0001"


@frozen
class Application:
    """The application whose sessions the commands look after: its settings say what is an option otherwise."""

    guard: SessionGuard
    command: str
    """How its commands are called, such as `flask sessionguard`."""
    findings: tuple[Finding, ...] = ()
    """What is to be said of its settings."""

    @property
    def store(self) -> Store:
        """The store of its guard.

        Raises:
            CommandError: it is in the memory of this process, and holds nothing.
        """
        store, _ = self.guard._beneath()
        if isinstance(store, MemoryStore) and next(self.guard.sessions(status=None), None) is None:
            # What the application has there is in other processes. No answer about it would be true.
            raise CommandError(
                "sessions in memory are seen by their own process only; name a store that processes share, "
                "such as sqlite:///var/sessions.db"
            )
        return store

    @property
    def workspaces(self) -> Workspaces | None:
        """The place for files of its guard."""
        return self.guard._beneath()[1]


def is_of_application(parser: ArgumentParser) -> bool:
    """Tell whether the command that `parser` is for belongs to an application."""
    return parser.get_default("application") is not None


def application_of(arguments: Namespace) -> Application | None:
    """Give the application that the command belongs to, or None."""
    found: Application | None = arguments.application
    return found


def add_store_arguments(parser: ArgumentParser, *, with_workspaces: bool = False) -> None:
    """Declare the store, the form of the output and, for what removes files, the workspaces."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    if is_of_application(parser):
        return
    parser.add_argument("--store", metavar="URL", help=f"such as sqlite:///var/sessions.db (or {URL_VARIABLE})")
    if with_workspaces:
        add_workspaces_argument(parser, "folder or URL of the workspaces, so that files go as well")


def add_workspaces_argument(parser: ArgumentParser, meaning: str) -> None:
    """Declare the place for files."""
    parser.add_argument("--workspaces", metavar="DIR|URL", help=f"{meaning} (or {WORKSPACES_VARIABLE})")


def place_of(arguments: Namespace) -> str | None:
    """Give the folder or URL of the workspaces, if the option or the environment names one."""
    return arguments.workspaces or os.environ.get(WORKSPACES_VARIABLE) or None


def knows_files(arguments: Namespace) -> bool:
    """Tell whether the files of sessions that end are removed; an application without a place for them has none."""
    return application_of(arguments) is not None or place_of(arguments) is not None


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

    What else the guard is to know are `options`. That of an application is given as it is, and left open.

    Raises:
        CommandError: no store is named, or the workspaces are not those of its sessions.
        ConfigurationError: there is no store of this release at that place. Nothing there was changed.
    """
    application = application_of(arguments)
    if application is not None:
        _require_schema(arguments, application.store)
        yield application.guard
        return
    url = store_url(arguments)
    place = place_of(arguments) if "workspaces" in arguments else None
    workspaces = None if place is None else open_workspaces(place)
    store = open_store(url)
    if isinstance(store, Store):
        with closing(store):
            _require_schema(arguments, store)
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
    """Open a store that can examine and migrate itself, and close it afterwards, unless it is an application's.

    Raises:
        CommandError: no store is named.
        ConfigurationError: it cannot do that, or it must exist and there is none at that place.
    """
    application = application_of(arguments)
    store = open_store(store_url(arguments)) if application is None else application.store
    if not isinstance(store, Store) or not isinstance(store, ExaminedStore):
        raise _refused(arguments, f"the {store.name} store cannot examine itself")
    with closing(store) if application is None else nullcontext():
        if must_exist:
            # What is damaged or out of date is for the examination to tell.
            with suppress(StoreError):
                _require_schema(arguments, store, up_to_date=False)
        yield store


def _require_schema(arguments: Namespace, store: Store, *, up_to_date: bool = True) -> None:
    # Asked first, for at its first use a store makes its file and its tables: a mistyped path must not become a new,
    # empty database that has nothing to complain about, nor another application's database one of ours.
    if not isinstance(store, ExaminedStore):
        return
    path = getattr(store, "path", None)
    is_there = Path.is_file if isinstance(store, SQLiteStore) else Path.exists
    if path is not None and not is_there(Path(path)):
        raise _refused(arguments, "there is no database at that path")
    due = store.migrate(dry_run=True)
    application = application_of(arguments)
    migrate = f"run `{'sessionguard' if application is None else application.command} migrate`"
    # Migrations are numbered: where the first is due, nothing of ours is there.
    if due and due[0].startswith(_FIRST_MIGRATION):
        raise _refused(arguments, f"no sessionguard schema there; {migrate}")
    if due and up_to_date:
        raise _refused(arguments, f"its schema is out of date; {migrate}")


def _refused(arguments: Namespace, remedy: str) -> ConfigurationError:
    application = application_of(arguments)
    if application is None:
        return ConfigurationError.of_url(store_url(arguments), remedy, setting="--store")
    store = application.store
    shown = f"{store.name}, {path}" if (path := getattr(store, "path", None)) else store.name
    return ConfigurationError("the store of this application", shown, remedy)
