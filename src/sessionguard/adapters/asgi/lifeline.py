"""What ends a connection whose session has ended, and the application that serves it."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from sessionguard.adapters.asgi.watching import Watch


class Lifeline:
    """Runs beside the application inside its `with` block, from `start` on.

    When the session has ended, `end` is called. An application that goes on after another interval is cancelled, as
    one is whose client has gone; the block then ends without an error.
    """

    def __init__(self, end: Callable[[], Awaitable[None]] | None = None) -> None:
        """Without `end` the application is cancelled at once: there is no message that would tell it."""
        self._end = end
        self._app: asyncio.Task[Any]
        self._cancelling = 0
        self._watcher: asyncio.Task[None] | None = None
        self._is_cut = False
        self.watch: Watch | None = None
        """What looks after the session; None before the start."""

    def start(self, watch: Watch) -> None:
        """Begin to look after the session."""
        self.watch = watch
        self._watcher = asyncio.create_task(self._cut(watch))

    async def is_cut(self) -> bool:
        """Tell whether the application was cancelled; where a look is overdue and finds an end, it is so here."""
        watch = self.watch
        if watch is not None and watch.is_due and not self._is_cut:
            await watch.look()
            if watch.is_ended:
                self._cancel()
                # The application's own task goes no further than this.
                await asyncio.sleep(0)
        return self._is_cut

    def stop(self) -> None:
        """Look no more."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def _cut(self, watch: Watch) -> None:
        await watch.until_ended()
        if self._end is not None:
            await self._end()
            await watch.pause()
        self._cancel()

    def _cancel(self) -> None:
        # Once: a second time would break off its cleaning up, and look like the cancellation of somebody else.
        if not self._is_cut:
            self._is_cut = True
            self._app.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._app, self._cancelling = task, task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.stop()
        # Somebody else may have cancelled it as well, and is to see that it was.
        is_ours = self._is_cut and self._app.uncancel() <= self._cancelling
        return is_ours and isinstance(error, asyncio.CancelledError)


Begin = Callable[[Lifeline], None]
"""Starts to look after the session of a connection, if it has one."""
