"""The lock that `AsyncSessionGuard.lock` gives."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from sessionguard.core.driving import Flow
from sessionguard.core.locking import BEAT_SECONDS, Claim, LockFlows
from sessionguard.errors import LockLostError, LockTimeoutError, MisuseError, SessionEndedError, SessionGuardError

_log = logging.getLogger("sessionguard.locks")


class AsyncSessionLock:
    """A lock that is held inside its `async with` block.

    While it is held, a task renews it. If it lapses all the same (the event loop stood still for longer than
    the lease), `check` raises `LockLostError`, and so does leaving the block.
    """

    def __init__(
        self,
        claim: Claim,
        flows: LockFlows,
        run: Callable[[Flow[Any]], Awaitable[Any]],
        run_once: Callable[[Flow[Any]], Awaitable[Any]],
    ) -> None:
        """`run_once` does not repeat what the store leaves unanswered: for what is done again anyway, or gives up."""
        self._claim = claim
        self._flows = flows
        self._run = run
        self._run_once = run_once
        self._beating: asyncio.Task[None] | None = None
        self._fence: int | None = None
        self._is_lost = False
        self._is_entered = False

    @property
    def session_id(self) -> str:
        """The session that it is a lock of."""
        return self._claim.session_id

    @property
    def name(self) -> str:
        """Its name within the session."""
        return self._claim.name

    @property
    def fence(self) -> int:
        """The number of this holding, higher than that of every earlier one. Known from entering on."""
        if self._fence is None:
            raise MisuseError("the lock is not held yet; use it inside its async with block")
        return self._fence

    def check(self) -> None:
        """Raise `LockLostError` if the lock is known to have lapsed."""
        if self._is_lost:
            raise LockLostError(self._claim.session_id, self._claim.name, self.fence)

    async def __aenter__(self) -> Self:
        if self._is_entered:
            raise MisuseError("a lock is entered once; call guard.lock again for another holding")
        # Before anything is awaited: the store would take a second task for a repetition of the first.
        self._is_entered = True
        self._claim = self._flows.anew(self._claim)
        try:
            self._fence = await self._acquire()
        except BaseException:
            self._is_entered = False
            raise
        self._beating = asyncio.create_task(self._beat())
        return self

    async def _acquire(self) -> int:
        try:
            return int(await self._run(self._flows.acquire(self._claim)))
        except (LockTimeoutError, SessionEndedError, MisuseError):
            raise
        except BaseException:
            # The cancelled or failed attempt may have taken the lock.
            with contextlib.suppress(SessionGuardError):
                await asyncio.shield(asyncio.ensure_future(self._run_once(self._flows.abandon(self._claim))))
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Shielded as a whole: who is cancelled here goes on as cancelled, and the lock is given back all the same.
        if not await asyncio.shield(asyncio.ensure_future(self._release())):
            self._is_lost = True
        if error is None:
            self.check()

    async def _release(self) -> bool:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        return bool(await self._run(self._flows.release(self._claim, self.fence)))

    async def _beat(self) -> None:
        while not self._is_lost:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                self._is_lost = not await self._run_once(self._flows.renew(self._claim, self.fence))
            except MisuseError:
                # The guard was closed inside the block: nobody can renew any more.
                return
            except Exception as error:
                # Whether the lock is lost is known only when the store answers again; the next beat asks.
                _log.warning("lock %s: a beat failed: %s", self._claim.name, error)
