"""The other judge of session histories: it replays every order on the model store and compares the replies."""

import random
from collections.abc import Sequence
from typing import Final

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.leases import LeaseReply
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.history import Operation
from sessionguard.testing.history.sessions.objections import records_in
from sessionguard.testing.history.sessions.workload import FREQUENCIES
from sessionguard.testing.model import ModelStore
from sessionguard.testing.mutants.catalogue import MUTANTS
from tests.testing.history.simulated import simulated, timed_out

_MANY_KEYS: Final = ("end_owner", "page", "purge", "sweep")
ONE_KEY: Final = {name: weight for name, weight in FREQUENCIES.items() if name not in _MANY_KEYS}
"""What one key decides by itself. The others are judged key by key, as if each key had its own instant."""
BUGGY: Final = (
    "AliveAtItsDeadline",
    "EndsTheOneToKeep",
    "GenerationRestarts",
    "GraceForEver",
    "IgnoresTheVersion",
    "LivesForEver",
    "LocksNobodyOut",
    "ReplaceLeavesTwoActive",
    "SaveExtends",
    "TheLastReasonWins",
    "UpsertOnSave",
)


def has_legal_order(history: Sequence[Operation]) -> bool:
    """Tell whether the model store, asked in some order, gives the very replies that the clients had."""

    def goes_on(done: list[Operation], rest: list[Operation]) -> bool:
        returns = [operation.ret for operation in rest if operation.ret is not None]
        if not returns:
            return True
        for operation in rest:
            if operation.call <= min(returns) and _is_legal_next(done, operation):
                others = [other for other in rest if other is not operation]
                if goes_on([*done, operation], others):
                    return True
        return False

    return goes_on([], list(history))


def skips_a_number(history: Sequence[Operation]) -> bool:
    """Tell whether a generation or a fence is shown, but not all before it.

    The model store counts one by one; what is promised is that they grow, so here the specification allows more.
    """
    shown: dict[tuple[str, ...], set[int]] = {}
    for operation in history:
        reply, command = operation.result, operation.args["command"]
        if isinstance(reply, c.LockReply) and reply.outcome is Outcome.DONE:
            shown.setdefault((command.session_id, command.name), set()).add(reply.fence)
        if isinstance(reply, LeaseReply) and reply.fence:
            shown.setdefault((command.session_id, "lease"), set()).add(reply.fence)
        for record in records_in(reply):
            shown.setdefault((record.scope, record.owner, record.external_id or ""), set()).add(record.generation)
    return any(numbers != set(range(1, max(numbers) + 1)) for numbers in shown.values())


def _is_legal_next(done: list[Operation], operation: Operation) -> bool:
    store = ModelStore()
    for former in done:
        former.args["command"].apply(store)
    reply = operation.args["command"].apply(store)
    return operation.outcome == "info" or _promised(reply) == _promised(operation.result)


def _promised(reply: object) -> object:
    # With which fence another holds a lock is nobody's business but the other's.
    if isinstance(reply, c.LockReply) and reply.outcome is Outcome.CONFLICT:
        return evolve(reply, fence=0)
    return reply


def drawn(seed: int, frequencies: dict[str, int]) -> list[Operation]:
    """Give a small history of a right or a wrong store, whose calls may be moved to where they cannot have been."""
    draw = random.Random(seed)
    store = ModelStore() if draw.random() < 0.5 else MUTANTS[draw.choice(BUGGY)].store()
    history = simulated(
        store,
        clients=3,
        operations=draw.randrange(3, 8),
        seed=seed,
        unknown=draw.choice((0.0, 0.15)),
        owners=("ana",),
        frequencies=frequencies,
    )
    for _ in range(draw.randrange(5)):
        _disturb(history, draw)
    return history


def _disturb(history: list[Operation], draw: random.Random) -> None:
    number = draw.randrange(len(history))
    operation, shift = history[number], draw.randrange(-40, 40)
    if draw.random() < 0.15:
        history[number] = timed_out(operation)
    else:
        ret = None if operation.ret is None else operation.ret + shift
        history[number] = evolve(operation, call=operation.call + shift, ret=ret)
