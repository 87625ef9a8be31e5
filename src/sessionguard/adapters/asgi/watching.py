"""Whether the session of a connection that outlives its response still goes on."""

import asyncio
import logging
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final, Protocol

from sessionguard.adapters.visits import AsyncVisit
from sessionguard.adapters.visits.calls import ask
from sessionguard.core.session import Session
from sessionguard.errors import SessionEndedError, SessionGuardError

_log = logging.getLogger("sessionguard.adapters")

_SELDOM: Final = timedelta(minutes=1)


class Pace(Protocol):
    """How time passes between two looks."""

    def now(self) -> float:
        """Give the seconds that have passed since some instant."""

    def wait(self, seconds: float) -> Awaitable[Any]:
        """Let `seconds` pass."""


class LoopPace:
    """The time of the event loop."""

    def now(self) -> float:
        """Give the time of the loop, in seconds."""
        return asyncio.get_running_loop().time()

    def wait(self, seconds: float) -> Awaitable[Any]:
        """Sleep."""
        return asyncio.sleep(seconds)


class Watch:
    """Looks every `interval` whether `session` is still open and its owner's.

    An outage of the store is no end: the connection stays, and the next look asks again.
    """

    def __init__(self, visit: AsyncVisit, session: Session, interval: timedelta, pace: Pace) -> None:
        self._visit = visit
        self._session = session
        self._interval = interval.total_seconds()
        self._pace = pace
        self._looked_at = self._extended_at = pace.now()
        self.is_busy = False
        """Whether the client has said something since the last look: only then the session is seen again."""
        self.is_ended = False

    @property
    def is_due(self) -> bool:
        """Whether the last look is longer ago than an interval: the process was stopped, or the loop busy."""
        return self._pace.now() - self._looked_at >= self._interval

    async def until_ended(self) -> None:
        """Return when the session has ended."""
        while not self.is_ended:
            await self.pause()
            await self.look()

    async def pause(self) -> None:
        """Let an interval pass."""
        await self._pace.wait(self._interval)

    async def look(self) -> None:
        """Ask the store, if the response depends on the session by now."""
        self._looked_at = self._pace.now()
        if not self._visit.flows.is_used:
            return
        try:
            self.is_ended = self.is_ended or not await self._goes_on()
        except SessionEndedError:
            self.is_ended = True
        except SessionGuardError as error:
            _log.warning("a connection could not be looked after: %s", error)

    async def _goes_on(self) -> bool:
        session: Session | None = await self._visit.run(ask("get", self._session.id))
        if session is None or not self._visit.flows.goes_on(self._session, session):
            return False
        if self.is_busy and self._pace.now() - self._extended_at >= _patience(session):
            self.is_busy, self._extended_at = False, self._pace.now()
            # Raises if it has expired, which nobody may have written down yet.
            await self._visit.run(ask("touch", session))
        return True


def _patience(session: Session) -> float:
    """Give after how many seconds a busy session is extended: rarely, and long before it would be over."""
    return min(_SELDOM, (session.expires_at - session.last_seen_at) / 10).total_seconds()
