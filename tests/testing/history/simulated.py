"""Clients at the same time without threads: what is drawn decides when each call begins, takes effect and ends."""

import heapq
import random
from typing import Any

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.history import Actor, Operation
from sessionguard.testing.history.sessions.objections import records_in

DEPLOYMENT = "0123456789abcdef" * 2


def simulated(
    store: Any, *, clients: int = 3, operations: int = 8, seed: int = 0, unknown: float = 0.0, **habits: Any
) -> list[Operation]:
    """Give a history of `store` in which the calls of the clients overlap; it is right if the store is.

    A share `unknown` of the calls has no answer; half of those took no effect.
    """
    draw = random.Random(seed)
    actors = [Actor(Stage(DEPLOYMENT), seed * 100 + number, **habits) for number in range(clients)]
    drawn = [actor.commands(operations) for actor in actors]
    history: list[Operation] = []
    # (effect, client, call, life of the client)
    waiting = [(draw.randrange(1, 9), number, 0, 0) for number in range(clients)]
    heapq.heapify(waiting)
    while waiting and len(history) < operations:
        effect, number, call, life = heapq.heappop(waiting)
        command = next(drawn[number])
        is_unknown = draw.random() < unknown
        reply = None if is_unknown and draw.random() < 0.5 else command.apply(store)
        ret = effect + draw.randrange(8)
        name = f"client {number}" + (f"#{life}" if life else "")
        operation = Operation(name, command.verb, {"command": command}, call, ret, result=reply)
        if is_unknown:
            operation = evolve(operation, ret=None, outcome="info", result="the connection was lost")
            life += 1
        else:
            for actor in actors:
                actor.show(command, records_in(reply), reply)
        history.append(operation)
        call = ret + draw.randrange(3)
        heapq.heappush(waiting, (call + draw.randrange(1, 9), number, call, life))
    return history


def timed_out(operation: Operation) -> Operation:
    """Give the operation as its client saw it when the answer was lost."""
    return evolve(operation, ret=None, outcome="info", result="the answer was lost")


def commands_of(history: list[Operation]) -> list[c.Command[Any]]:
    """Give what was asked."""
    return [operation.args["command"] for operation in history]
