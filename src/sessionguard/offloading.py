"""Handing a blocking call to a thread, so that the call has ended when its caller goes on, cancelled or not."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar("R")


async def in_thread(
    call: Callable[[], R], *, executor: Executor | None = None, undo: Callable[[R], object] | None = None
) -> R:
    """Give what `call` gives in a thread of `executor`, or of the event loop's own.

    A cancelled call that waits for the executor never begins. One that has begun is finished before the cancellation
    goes on, so no thread works for a caller who has gone; `undo` is then given the result that nobody will see.
    """
    loop = asyncio.get_running_loop()
    queued: Future[R] | None = None
    context = contextvars.copy_context()
    if executor is None:
        # A future and not a task: at the end of the loop all tasks are cancelled, and a cancelled
        # asyncio.to_thread forgets its thread while that goes on working.
        running = loop.run_in_executor(None, context.run, call)
    else:
        queued = executor.submit(context.run, call)
        running = asyncio.wrap_future(queued)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if queued is None or not queued.cancel():
            await _ended(running)
            if undo is not None and running.exception() is None:
                await _ended(loop.run_in_executor(executor, undo, running.result()))
        raise


async def _ended(running: "asyncio.Future[Any]") -> None:
    while not running.done():
        # However often the caller is cancelled meanwhile.
        with suppress(asyncio.CancelledError):
            await asyncio.wait([running])
    # Seen, so that asyncio does not report it as lost.
    running.exception()
