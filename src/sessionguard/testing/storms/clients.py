"""Storms in one process: clients in threads, and clients in tasks whose calls are cancelled now and then."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sessionguard.core import commands as c
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.contract import AsyncStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.history import Actor, History, recorded, recorded_async
from sessionguard.testing.history.sessions.objections import records_in

_PATIENCE_SECONDS = 60


def storm(
    store: Any,
    *,
    clients: int = 4,
    operations: int = 40,
    seed: int = 0,
    disturb: Callable[[], object] | None = None,
    **habits: Any,
) -> History:
    """Let clients in threads loose on an empty `store`, and give what they did and saw.

    `seed` decides what each asks; `habits` are further arguments of `Actor`, such as `jumps` of its clock. With
    `disturb`, which is called beside them, calls may find the store unavailable: their outcome is unknown, and the
    client goes on when it is back. What else is raised, by a call or by `disturb`, is raised.
    """
    history = History(instants=now_us)
    stage = Stage(store.identify(c.Identify()))
    actors = [Actor(stage, seed * 100 + number, **habits) for number in range(clients)]
    barrier = threading.Barrier(clients)
    troubles: list[BaseException] = []

    def play(number: int) -> None:
        mine = recorded(store, history, f"client {number}")
        try:
            barrier.wait(_PATIENCE_SECONDS)
            for command in actors[number].commands(operations):
                try:
                    _show(actors, command, command.apply(mine))
                except StoreUnavailableError:
                    if disturb is None:
                        raise
                    _wait_for(store)
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=play, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    if disturb is not None:
        disturb()
    for thread in threads:
        thread.join(_PATIENCE_SECONDS)
    if any(thread.is_alive() for thread in threads):
        # Who waits for ever may wait for one who raised.
        trouble = troubles[0] if troubles else None
        raise TimeoutError(f"a call of the storm took longer than {_PATIENCE_SECONDS} s") from trouble
    if troubles:
        raise troubles[0]
    return history


def _wait_for(store: Any) -> None:
    patience_ends = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            store.identify(c.Identify())
            return
        except StoreUnavailableError:
            if time.monotonic() > patience_ends:
                raise
            time.sleep(0.01)


async def async_storm(
    store: AsyncStore,
    *,
    clients: int = 4,
    operations: int = 40,
    seed: int = 0,
    cancelled: float = 0.2,
    **habits: Any,
) -> History:
    """The same with tasks on an async store; that share of the calls is cancelled, at whichever await it has come to.

    They begin at once: each has made its first call before any of these is played. A cancelled call is in the history
    as one of unknown outcome.
    """
    history = History(instants=now_us)
    stage = Stage(await store.identify(c.Identify()))
    actors = [Actor(stage, seed * 100 + number, **habits) for number in range(clients)]
    draw = random.Random(seed)

    async def play(number: int) -> None:
        mine = recorded_async(store, history, f"client {number}")
        for command in actors[number].commands(operations):
            call = asyncio.ensure_future(command.apply(mine))
            if draw.random() < cancelled:
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
                call.cancel()
            replies: Sequence[Any] = await asyncio.gather(call, return_exceptions=True)
            reply = replies[0]
            if isinstance(reply, asyncio.CancelledError):
                continue
            if isinstance(reply, BaseException):
                raise reply
            _show(actors, command, reply)

    await asyncio.gather(*(play(number) for number in range(clients)))
    return history


def _show(actors: Sequence[Actor], command: c.Command[Any], reply: Any) -> None:
    for actor in actors:
        actor.show(command, records_in(reply), reply)


def now_us() -> int:
    """Give what the clock of this machine shows, in microseconds."""
    return time.time_ns() // 1000
