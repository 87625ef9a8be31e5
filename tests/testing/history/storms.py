"""Storms: a few clients in threads who do everything at once to a few owners, on any store."""

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from sessionguard.core import commands as c
from sessionguard.stores.contract import AsyncStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.history import Actor, History, recorded, recorded_async
from sessionguard.testing.history.sessions.objections import records_in


def storm(store: Any, *, clients: int = 4, operations: int = 40, seed: int = 0, **habits: Any) -> History:
    """Let the clients loose on `store` and give what they did and saw."""
    history = History(instants=now_us)
    stage = Stage(store.identify(c.Identify()))
    actors = [Actor(stage, seed * 100 + number, **habits) for number in range(clients)]
    barrier = threading.Barrier(clients)
    troubles: list[BaseException] = []

    def play(number: int) -> None:
        mine = recorded(store, history, f"client {number}")
        barrier.wait(30)
        try:
            for command in actors[number].commands(operations):
                reply = command.apply(mine)
                for actor in actors:
                    actor.show(command, records_in(reply), reply)
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=play, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not troubles, troubles[0]
    return history


async def async_storm(
    store: AsyncStore, *, clients: int = 4, operations: int = 40, seed: int = 0, **habits: Any
) -> History:
    """The same with tasks on an async store; every fifth call is cancelled, at whichever await it has come to."""
    history = History(instants=now_us)
    stage = Stage(await store.identify(c.Identify()))
    actors = [Actor(stage, seed * 100 + number, **habits) for number in range(clients)]
    draw = random.Random(seed)

    async def play(number: int) -> None:
        mine = recorded_async(store, history, f"client {number}")
        for command in actors[number].commands(operations):
            call = asyncio.ensure_future(command.apply(mine))
            if draw.random() < 0.2:
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
                call.cancel()
            replies: Sequence[Any] = await asyncio.gather(call, return_exceptions=True)
            reply = replies[0]
            if isinstance(reply, asyncio.CancelledError):
                continue
            if isinstance(reply, BaseException):
                raise reply
            for actor in actors:
                actor.show(command, records_in(reply), reply)

    await asyncio.gather(*(play(number) for number in range(clients)))
    return history


def now_us() -> int:
    """Give what the clock of this machine shows."""
    return time.time_ns() // 1000
