"""What a process of a storm does: it asks one store, on its own, and gives what it did and saw."""

from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sessionguard.core import commands as c
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import at_once
from sessionguard.testing.history import Actor, History, recorded
from sessionguard.testing.history.sessions.objections import records_in
from tests.testing.history.storms import now_us


def storm_in_process(pipe: Connection, path: Path, number: int, operations: int) -> History:
    """Play one client, together with the other processes."""
    history = History(instants=now_us, instance=number)
    store = SQLiteStore(path)
    try:
        actor = Actor(Stage(store.identify(c.Identify())), number, owners=("ana", "bob"))
        at_once(pipe)
        _play(recorded(store, history, f"process {number}"), actor, actor.commands(operations))
    finally:
        store.close()
    return history


def storm_until_killed(pipe: Connection, path: Path, journal: Path, number: int) -> None:
    """Play one client without end, and write down each call before it is made."""
    history = History(instants=now_us, instance=number, journal=journal)
    store = SQLiteStore(path)
    actor = Actor(Stage(store.identify(c.Identify())), number, owners=("ana", "bob"))
    client = recorded(store, history, f"process {number}")
    pipe.send("ready")
    while True:
        _play(client, actor, actor.commands(10), told=pipe.send)


def _play(
    store: Any,
    actor: Actor,
    commands: Iterator[c.Command[Any]],
    told: Callable[[object], None] = lambda count: None,
) -> None:
    for command in commands:
        reply = command.apply(store)
        actor.show(command, records_in(reply), reply)
        told(command.verb)
