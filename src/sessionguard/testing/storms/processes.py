"""Storms of processes: each a client with a store of its own, some killed in the middle of a call."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from attrs import frozen

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
_LISTENING_SECONDS: Final = 0.001


def storm_of_processes(
    open_store: OpenStore,
    *,
    processes: int = 4,
    operations: int = 60,
    seed: int = 0,
    offsets: Sequence[timedelta] = (),
    jumps: Sequence[timedelta] = (),
) -> History:
    """Let processes loose on one empty place, and give what they did and saw, as one history.

    The clock of each, by which it asks, is ahead by one of `offsets`, in turn (a negative one: behind), as those of
    several hosts are; with `jumps` it is also set forward or back by one of these, at random moments.
    """
    refuse_unportable("open_store", open_store)
    open_store().close()
    histories: list[History] = play_all(
        _storm,
        *[
            (open_store, number, operations, _Habits(seed * 100 + number, _of(offsets, number), tuple(jumps)))
            for number in range(processes)
        ],
    )
    return merge(histories)


def storm_of_killed(
    open_store: OpenStore,
    folder: Path,
    *,
    victims: int = 2,
    after: int = 15,
    within_seconds: float = 0.0,
    operations: int = 40,
    seed: int = 0,
    offsets: Sequence[timedelta] = (),
    jumps: Sequence[timedelta] = (),
) -> History:
    """Kill each of the processes in whatever call it is after so many, and let a survivor look at what is left.

    Each is killed as soon as all have made `after` calls, or at an instant of its own that is drawn within so many
    seconds from then on. `offsets` and `jumps` are those of `storm_of_processes`; the survivor is the last. The
    victims' calls are written to files in `folder`, each before it is made, so that the last ones are known, too.
    """
    refuse_unportable("open_store", open_store)
    journals = [folder / f"victim-{seed}-{number}.jsonl" for number in range(victims)]

    def habits(number: int) -> _Habits:
        return _Habits(seed * 100 + number, _of(offsets, number), tuple(jumps))

    with ExitStack() as stack:
        children = [
            stack.enter_context(ChildProcess(_storm_until_killed, open_store, journal, number, habits(number)))
            for number, journal in enumerate(journals)
        ]
        for child in children:
            for _ in range(after):
                child.hear()
        luck = random.Random(seed)
        _kill_all(children, [luck.uniform(0.0, within_seconds) for _ in children])
    survivor = History(instants=now_us, instance=victims)
    _survive(open_store, survivor, habits(victims), operations)
    return merge([*map(History.from_journal, journals), survivor])


@frozen
class _Habits:
    """What one process draws by, and how wrong its clock is."""

    seed: int
    ahead: timedelta
    jumps: tuple[timedelta, ...]

    def actor(self, store: Any) -> Actor:
        stage = Stage(store.identify(c.Identify()))
        return Actor(stage, self.seed, owners=_OWNERS, ahead=self.ahead, jumps=self.jumps)


def _of(offsets: Sequence[timedelta], number: int) -> timedelta:
    return offsets[number % len(offsets)] if offsets else timedelta()


def _kill_all(children: Sequence[ChildProcess], seconds: Sequence[float]) -> None:
    """Kill each so many seconds from now, wherever it is then."""
    began, alive = time.monotonic(), dict(enumerate(children))
    for number in sorted(alive, key=lambda each: seconds[each]):
        while (left := began + seconds[number] - time.monotonic()) > 0:
            # Heard all the time: with its pipe full, a child would stand still between two calls.
            for child in alive.values():
                if child.has_spoken(min(left, _LISTENING_SECONDS)):
                    child.hear()
        alive.pop(number).kill()


def _storm(pipe: Connection, open_store: OpenStore, number: int, operations: int, habits: _Habits) -> History:
    history = History(instants=now_us, instance=number)
    store = open_store()
    try:
        actor = habits.actor(store)
        at_once(pipe)
        _play(recorded(store, history, f"process {number}"), actor, actor.commands(operations))
    finally:
        store.close()
    return history


def _storm_until_killed(pipe: Connection, open_store: OpenStore, journal: Path, number: int, habits: _Habits) -> None:
    history = History(instants=now_us, instance=number, journal=journal)
    store = open_store()
    actor = habits.actor(store)
    client = recorded(store, history, f"process {number}")
    pipe.send("ready")
    while True:
        _play(client, actor, actor.commands(10), told=pipe.send)


def _survive(open_store: OpenStore, history: History, habits: _Habits, operations: int) -> None:
    store = open_store()
    try:
        actor = habits.actor(store)
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
