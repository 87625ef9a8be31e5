"""The background sweep of an async guard: one task, which stops when told, and never because of an error."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from sessionguard.sweeping import OUTAGES, waits

_log = logging.getLogger("sessionguard.background")


class AsyncSweeper:
    """A task that awaits `sweep_pass` once per interval until `stop`, or until it gives False."""

    def __init__(self, sweep_pass: Callable[[], Awaitable[bool]], interval_seconds: float) -> None:
        self._sweep_pass = sweep_pass
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="sessionguard-sweeper")

    async def stop(self) -> None:
        """End, wherever the pass is; in another loop than this one as soon as that comes to it."""
        if self._task is None or self._loop is None or self._task is asyncio.current_task():
            return
        if self._loop is asyncio.get_running_loop():
            self._task.cancel()
            await asyncio.wait([self._task])
            return
        # Not waited for: that loop may be waiting for this one. A closed one has no tasks left to end.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _run(self) -> None:
        for wait in waits(self._interval_seconds):
            await asyncio.sleep(wait)
            try:
                if not await self._sweep_pass():
                    return
            except OUTAGES as error:
                _log.error("a background sweep failed; the next one tries again: %s", error)
            except Exception:
                _log.exception("a background sweep failed; the next one tries again")
