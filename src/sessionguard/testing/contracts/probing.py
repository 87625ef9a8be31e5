"""What is asked of a store before any case: whether it has what its author says, and keeps it in its place."""

import asyncio

from sessionguard.core.driving import Flow, perform, run, run_async
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.stage import Stage

APART = (
    "what one store opens, another store of the same place does not find; keep sessions in that place, or say that "
    "each store has its own: capabilities=PER_PROCESS, on a command line --per-process"
)
OF_ONE_OBJECT = ("shared", "processes", "durable")
"""What a store cannot be whose sessions nobody else finds."""


def untrue(candidate: Candidate) -> tuple[str, ...]:
    """Give the capabilities that the store declares, by the names of their fields, and does not have.

    Besides, a session is left in its place, if the store says that others find it there.
    """
    apart = OF_ONE_OBJECT if candidate.capabilities.shared and keeps_apart(candidate) else ()
    if not candidate.capabilities.blocking:
        return apart
    store = candidate.blocking()
    try:
        return apart + tuple(candidate.capabilities.lacking(store))
    finally:
        # Close may be among what is lacking.
        getattr(store, "close", lambda: None)()


def keeps_apart(candidate: Candidate) -> bool:
    """Tell whether a session that one store of a place opened is found by that store and by no other of this place.

    False also where nothing could be opened: what is wrong then is for the cases to say.
    """
    try:
        if not candidate.capabilities.blocking:
            return asyncio.run(_keeps_apart_async(candidate))
        with candidate.connected() as (store, stage):
            return run(_found_by_one(stage), store)
    except Exception:
        return False


async def _keeps_apart_async(candidate: Candidate) -> bool:
    async with candidate.connected_async() as (store, stage):
        return await run_async(_found_by_one(stage), store)


def _found_by_one(stage: Stage) -> Flow[bool]:
    opened = yield from perform(stage.create("nobody in particular"))
    here = yield from perform(stage.get(opened.record))
    there = yield from perform(stage.elsewhere(stage.get(opened.record)))
    return here is not None and there is None
