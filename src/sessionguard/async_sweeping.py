"""The background sweep of an async guard: one task, which stops when told, and never because of an error."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sessionguard.sweeping import waits

_log = logging.getLogger("sessionguard.background")


class AsyncSweeper:
    """A task that awaits `sweep_pass` once per interval until `stop`, or until it gives False."""

    def __init__(self, sweep_pass: Callable[[], Awaitable[bool]], interval_seconds: float) -> None:
        self._sweep_pass = sweep_pass
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.create_task(self._run(), name="sessionguard-sweeper")

    async def stop(self) -> None:
        """End, wherever the pass is."""
        if self._task is None or self._task is asyncio.current_task():
            return
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        for wait in waits(self._interval_seconds):
            await asyncio.sleep(wait)
            try:
                if not await self._sweep_pass():
                    return
            except Exception:
                _log.exception("a background sweep failed; the next one tries again")
