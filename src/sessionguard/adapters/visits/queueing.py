"""Waiting in an event loop for a lock of a blocking guard, without a thread.

Threads that waited would be missing elsewhere: those who hold the locks need one to give them back, and one visitor who
sends many requests at once would keep all others from the threads.
"""

import asyncio
import random
from functools import partial
from typing import Final, Protocol
from weakref import WeakValueDictionary

from sessionguard.errors import LockTimeoutError
from sessionguard.guard import SessionGuard
from sessionguard.offloading import in_thread

# As a thread that waits asks: soon at first, then at most every 25 ms.
_FIRST_WAIT: Final = 0.001
_LONGEST_WAIT: Final = 0.025


class BlockingLock(Protocol):
    """What a blocking guard gives as a lock."""

    @property
    def session_id(self) -> str:
        """The session that it is a lock of."""

    @property
    def name(self) -> str:
        """Its name within the session."""

    @property
    def timeout_seconds(self) -> float:
        """How long entering waits at most."""

    def attempt(self) -> object:
        """Enter without waiting, or raise `LockTimeoutError`."""

    def __exit__(self, kind: None, error: None, traceback: None, /) -> None:
        """Give it back."""


_Queue = tuple[asyncio.AbstractEventLoop, SessionGuard, str, str]
_heads: Final[WeakValueDictionary[_Queue, asyncio.Lock]] = WeakValueDictionary()
"""Held by the first in the queue of each lock; kept alive by those who stand in it."""


async def enter(guard: SessionGuard, lock: BlockingLock) -> None:
    """Enter `lock` of `guard` within its timeout, which runs from now on.

    Those of this event loop who wait for the same lock stand in a queue, in the order in which they came. Only the
    first of them attempts to enter, each time in a thread that it gives back at once.

    Raises:
        LockTimeoutError: others held it, or stood in front, for that long.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + lock.timeout_seconds
    head = _heads.setdefault((loop, guard, lock.session_id, lock.name), asyncio.Lock())
    try:
        async with asyncio.timeout_at(deadline):
            await head.acquire()
    except TimeoutError:
        raise LockTimeoutError(lock.session_id, lock.name, lock.timeout_seconds) from None
    try:
        await _enter_as_first(lock, deadline)
    finally:
        head.release()


async def _enter_as_first(lock: BlockingLock, deadline: float) -> None:
    # Cancelled after it was entered, it would be held by nobody until it lapses.
    leave = partial(lock.__exit__, None, None, None)
    ceiling = _FIRST_WAIT
    while True:
        try:
            await in_thread(lock.attempt, undo=lambda _: leave())
        except LockTimeoutError:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise
        else:
            return
        # Half the interval at least, so that those who wait do not keep the store busy.
        await asyncio.sleep(min(random.uniform(ceiling / 2, ceiling), left))
        ceiling = min(ceiling * 2, _LONGEST_WAIT)
