"""The hold on a session that `AsyncSessionGuard.hold` gives."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, Self

from sessionguard.core.driving import Flow
from sessionguard.core.holding import HoldingFlows, Tenure
from sessionguard.errors import MisuseError, SessionEndedError, SessionGuardError
from sessionguard.locks.hold import Hold

_log = logging.getLogger("sessionguard.background")


class AsyncClosable(Protocol):
    """What is closed at the end."""

    async def close(self) -> None:
        """Close it."""


class AsyncSessionHold(Hold):
    """A session that is in use from `acquire` to `release`, or within an `async with` block; by any task of this loop.

    Until then its files are not removed and it does not expire by idleness. A background task renews the lease.
    Whoever was stopped for longer than that lasts has lost it, and is told by `check`, by `release` and at the end of
    the block. Nobody has to release what a process held that died: its lease lapses.
    """

    def __init__(
        self,
        tenure: Tenure,
        flows: HoldingFlows,
        run: Callable[[Flow[Any]], Awaitable[Any]],
        run_once: Callable[[Flow[Any]], Awaitable[Any]],
        lease_files: Callable[[], Awaitable[AsyncClosable | None]],
    ) -> None:
        """`run_once` does not repeat what the store leaves unanswered: for what is done again anyway, or gives up."""
        super().__init__(tenure, flows)
        self._run = run
        self._run_once = run_once
        self._lease_files = lease_files
        self._files: AsyncClosable | None = None
        self._beating: asyncio.Task[None] | None = None
        self._releasing: asyncio.Task[None] | None = None

    async def acquire(self) -> Self:
        """Hold the session from now on. Raises `SessionEndedError` if it is over."""
        self._begin()
        try:
            await self._acquire()
        except BaseException:
            self._fail()
            raise
        return self

    async def _acquire(self) -> None:
        self._files = await self._lease_files()
        try:
            await self._run(self._flows.begin(self._tenure))
        except BaseException as error:
            # Shielded: who is cancelled meanwhile goes on as cancelled, and nothing is left held.
            undoing = asyncio.ensure_future(self._undo(begun=self._may_have_begun(error)))
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(undoing)
            raise
        self._is_acquired = True
        self._beating = asyncio.create_task(self._beat())

    async def _undo(self, *, begun: bool) -> None:
        try:
            if begun:
                with contextlib.suppress(SessionGuardError):
                    await self._run_once(self._flows.abandon(self._tenure))
        finally:
            await self._let_go_of_files()

    async def release(self) -> None:
        """Hold it no more, from whichever task. Again, or in a forked child, it does nothing.

        Raises:
            LeaseLostError: it had lapsed before.
        """
        await self._release()
        self._check_released()

    async def _release(self) -> None:
        if not self._is_to_release:
            return
        if self._releasing is None:
            self._releasing = asyncio.ensure_future(self._released())
        # Shielded as a whole: who is cancelled here goes on as cancelled, and the session is let go all the same.
        await asyncio.shield(self._releasing)

    async def _released(self) -> None:
        try:
            # The files first: whoever lets go last removes them. That may take longer than a lease lasts, so it beats.
            await self._let_go_of_files()
        finally:
            if self._beating is not None:
                self._beating.cancel()
                await asyncio.wait([self._beating])
            self._is_released = True
            await self._run(self._flows.finish(self._tenure))

    async def _let_go_of_files(self) -> None:
        files, self._files = self._files, None
        if files is not None:
            await files.close()

    async def _beat(self) -> None:
        while self._is_beating:
            await asyncio.sleep(self._tenure.period_seconds)
            try:
                await self._run_once(self._renewal())
            except (SessionEndedError, MisuseError):
                # The session has ended or the guard was closed, and neither is ever undone.
                return
            except Exception as error:
                # Whether it is lost is known only when the store answers again; the next beat asks.
                _log.warning("holding session %s: a beat failed: %s", self.session_id, error)

    async def __aenter__(self) -> Self:
        return await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.release()
        else:
            await self._release()
