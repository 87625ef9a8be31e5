"""An async store over any blocking one: reads that need no wait are answered inline, everything else in a thread.

Inline, a SQLite read costs about a tenth of the hand-over to a thread; a write may wait for another process and must
not hold the event loop meanwhile. A call that was handed over is finished before its cancellation goes on: its
outcome is what the store says, and no thread goes on working for a caller who has gone.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.offloading import in_thread
from sessionguard.stores.contract import InlineReads, Store

R = TypeVar("R")


class OffloadedStore:
    """An `AsyncStore` over `store`, with the optional abilities of `store`."""

    def __init__(self, store: Store) -> None:
        self.blocking = store
        self.name = store.name
        self._inline = store if isinstance(store, InlineReads) else None
        self._executor: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    async def _ask(self, command: c.Command[R]) -> R:
        if self._inline is not None:
            reply = self._inline.answer_inline(command)
            if reply is not None:
                return reply
        answer: R = await self._in_thread(lambda: command.apply(self.blocking))
        return answer

    async def _in_thread(self, call: Callable[[], R]) -> R:
        if self._executor is None or self._pid != os.getpid():
            # One thread: a second would only compete with the first for the store's one write lock.
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"sessionguard-{self.name}")
            self._pid = os.getpid()
        return await in_thread(call, executor=self._executor)

    async def identify(self, command: c.Identify) -> str:
        return await self._ask(command)

    async def create(self, command: c.Create) -> c.Opened:
        return await self._ask(command)

    async def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        return await self._ask(command)

    async def replace(self, command: c.Replace) -> c.Opened:
        return await self._ask(command)

    async def load(self, command: c.Load) -> c.Loaded:
        return await self._ask(command)

    async def get(self, command: c.Get) -> SessionRecord | None:
        return await self._ask(command)

    async def save(self, command: c.Save) -> c.Changed:
        return await self._ask(command)

    async def touch(self, command: c.Touch) -> c.Changed:
        return await self._ask(command)

    async def rotate(self, command: c.Rotate) -> c.Changed:
        return await self._ask(command)

    async def end(self, command: c.End) -> c.Changed:
        return await self._ask(command)

    async def end_owner(self, command: c.EndOwner) -> c.Ended:
        return await self._ask(command)

    async def sweep(self, command: c.Sweep) -> c.Ended:
        return await self._ask(command)

    async def purge(self, command: c.Purge) -> c.Purged:
        return await self._ask(command)

    async def page(self, command: c.Page) -> c.PageOfRecords:
        return await self._ask(command)

    async def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        return await self._ask(command)

    async def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        return await self._ask(command)

    async def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return await self._ask(command)

    async def distrust(self) -> None:
        """Drop every open connection of the blocking store."""
        await self._in_thread(self.blocking.distrust)

    async def close(self) -> None:
        """Close the blocking store and end the thread."""
        await self._in_thread(self.blocking.close)
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None
