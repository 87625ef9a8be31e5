"""Storms of processes: each a client with a store of its own, some killed in the middle of a call."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sessionguard.core import commands as c
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import ChildProcess, at_once, play_all
from sessionguard.testing.history import Actor, History, merge, recorded
from sessionguard.testing.history.sessions.objections import records_in
from sessionguard.testing.portable import refuse_unportable
from sessionguard.testing.storms.clients import now_us

OpenStore = Callable[[], Any]
"""Opens the one place that all processes reach; picklable, as `functools.partial(open_store, url)`."""

_OWNERS = ("ana", "bob")


def storm_of_processes(open_store: OpenStore, *, processes: int = 4, operations: int = 60, seed: int = 0) -> History:
    """Let processes loose on one empty place, and give what they did and saw, as one history."""
    refuse_unportable("open_store", open_store)
    open_store().close()
    histories: list[History] = play_all(
        _storm, *[(open_store, number, seed * 100 + number, operations) for number in range(processes)]
    )
    return merge(histories)


def storm_of_killed(
    open_store: OpenStore, folder: Path, *, victims: int = 2, after: int = 15, operations: int = 40, seed: int = 0
) -> History:
    """Kill each of the processes in whatever call it is after so many, and let a survivor look at what is left.

    The victims' calls are written to files in `folder`, each before it is made, so that the last ones are known, too.
    """
    refuse_unportable("open_store", open_store)
    journals = [folder / f"victim-{seed}-{number}.jsonl" for number in range(victims)]
    with ExitStack() as stack:
        children = [
            stack.enter_context(ChildProcess(_storm_until_killed, open_store, journal, number, seed * 100 + number))
            for number, journal in enumerate(journals)
        ]
        for child in children:
            for _ in range(after):
                child.hear()
        for child in children:
            child.kill()
    survivor = History(instants=now_us, instance=victims)
    _survive(open_store, survivor, seed * 100 + victims, operations)
    return merge([*map(History.from_journal, journals), survivor])


def _storm(pipe: Connection, open_store: OpenStore, number: int, seed: int, operations: int) -> History:
    history = History(instants=now_us, instance=number)
    store = open_store()
    try:
        actor = Actor(Stage(store.identify(c.Identify())), seed, owners=_OWNERS)
        at_once(pipe)
        _play(recorded(store, history, f"process {number}"), actor, actor.commands(operations))
    finally:
        store.close()
    return history


def _storm_until_killed(pipe: Connection, open_store: OpenStore, journal: Path, number: int, seed: int) -> None:
    history = History(instants=now_us, instance=number, journal=journal)
    store = open_store()
    actor = Actor(Stage(store.identify(c.Identify())), seed, owners=_OWNERS)
    client = recorded(store, history, f"process {number}")
    pipe.send("ready")
    while True:
        _play(client, actor, actor.commands(10), told=pipe.send)


def _survive(open_store: OpenStore, history: History, seed: int, operations: int) -> None:
    store = open_store()
    try:
        actor = Actor(Stage(store.identify(c.Identify())), seed, owners=_OWNERS)
        _play(recorded(store, history, "survivor"), actor, actor.commands(operations))
    finally:
        store.close()


def _play(
    store: Any,
    actor: Actor,
    commands: Iterator[c.Command[Any]],
    told: Callable[[object], None] = lambda verb: None,
) -> None:
    for command in commands:
        reply = command.apply(store)
        actor.show(command, records_in(reply), reply)
        told(command.verb)
