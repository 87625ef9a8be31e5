"""An async store over any blocking one: reads that need no wait are answered inline, everything else in a thread.

Inline, a SQLite read costs about a tenth of the hand-over to a thread; a write may wait for another process and must
not hold the event loop meanwhile. A call that was handed over is finished before its cancellation goes on: its
outcome is what the store says, and no thread goes on working for a caller who has gone.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.points import areach
from sessionguard.core.records import SessionRecord
from sessionguard.errors import StoreTimeoutError
from sessionguard.forking import after_fork
from sessionguard.offloading import in_thread
from sessionguard.stores.contract import InlineReads, Store

R = TypeVar("R")

_READS: Final = frozenset({c.Identify, c.Get, c.Page, f.Census, f.FindDue, le.FindLease})
_PATIENCE_SECONDS: Final = 5.0


class OffloadedStore:
    """An `AsyncStore` over `store`, with the optional abilities of `store`.

    One thread writes and another reads. A call that had to wait for the thread for longer than `patience_seconds`
    (None: as long as `store` itself waits for others) is not made: `StoreTimeoutError`.
    """

    def __init__(self, store: Store, *, patience_seconds: float | None = None) -> None:
        self.blocking = store
        self.name = store.name
        self._inline = store if isinstance(store, InlineReads) else None
        if patience_seconds is None:
            patience_seconds = getattr(store, "patience_seconds", _PATIENCE_SECONDS)
        self._patience_seconds = patience_seconds
        # A load that was not answered inline has something to write down.
        self._reads = _READS if self._inline is not None else _READS | {c.Load}
        self._start_threads()
        after_fork(self, OffloadedStore._start_threads)

    def _start_threads(self) -> None:
        # One to write: a second would only compete with the first for the store's one write lock. None is started
        # before its first call.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"sessionguard-{self.name}")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix=f"sessionguard-{self.name}-reader")

    @property
    def limits_sessions(self) -> bool:
        """Whether `store` keeps limits."""
        return bool(getattr(self.blocking, "limits_sessions", False))

    async def _ask(self, command: c.Command[R]) -> R:
        await areach(command.verb, self.name, command)
        if self._inline is not None:
            reply = self._inline.answer_inline(command)
            if reply is not None:
                return reply
        call = partial(self._in_turn, command, time.monotonic() + self._patience_seconds)
        return await self._in_thread(call, self._reader if type(command) in self._reads else self._writer)

    def _in_turn(self, command: c.Command[R], deadline: float) -> R:
        # Whoever comes first may wait for the store as long as allowed, and those behind it have waited as long then:
        # with a patience of its own each, the last would wait for the sum.
        if time.monotonic() > deadline:
            waited = f"calls that came before kept it waiting for {self._patience_seconds:g} s"
            raise StoreTimeoutError(self.name, command.verb, waited)
        reply: R = command.apply(self.blocking)
        return reply

    async def _in_thread(self, call: Callable[[], R], executor: Executor) -> R:
        return await in_thread(call, executor=executor)

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

    async def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        return await self._ask(command)

    async def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        return await self._ask(command)

    async def leased_until(self, command: le.FindLease) -> int | None:
        return await self._ask(command)

    async def census(self, command: f.Census) -> f.Counted:
        return await self._ask(command)

    async def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        return await self._ask(command)

    async def take_turn(self, command: f.TakeTurn) -> Outcome:
        return await self._ask(command)

    async def give_turn(self, command: f.GiveTurn) -> Outcome:
        return await self._ask(command)

    async def distrust(self) -> None:
        """Drop every open connection of the blocking store."""
        await self._in_thread(self.blocking.distrust, self._writer)

    async def close(self) -> None:
        """Close the blocking store and end the threads."""
        await self._in_thread(self.blocking.close, self._writer)
        former = self._writer, self._reader
        # What is asked from now on is refused by the store itself.
        self._start_threads()
        for executor in former:
            executor.shutdown(wait=False)
