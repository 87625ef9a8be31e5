"""Responses that are streamed for longer than their session lives: they are cut off when it has ended."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sessionguard.adapters.asgi.watching import LoopPace, Watch
from sessionguard.adapters.django.session import VisitedSession
from sessionguard.core.session import Session
from sessionguard.errors import SessionEndedError, SessionGuardError
from sessionguard.guard import SessionGuard

_log = logging.getLogger("sessionguard.adapters")


def cut_off(response: Any, session: VisitedSession, interval: timedelta) -> None:
    """Have the body of `response` end with the session, at which is looked every `interval`.

    A client sees the connection break, not a whole response: what it has is not all that there would have been.
    """
    flows = session.visit.flows
    found = flows.known() if flows.is_resolved else None
    if found is None:
        return
    if response.is_async:
        watch = Watch(session.awaited, found, interval, LoopPace())
        response.streaming_content = _awaited(response.streaming_content, watch, found)
    else:
        still_open = _Looks(session.visit.guard, found, interval.total_seconds())
        response.streaming_content = _blocking(response.streaming_content, still_open)


def _blocking(body: Iterable[bytes], look: Callable[[], None]) -> Iterator[bytes]:
    for part in body:
        # Before it is sent: it may have been made after the end.
        look()
        yield part


class _Looks:
    """Raises `SessionEndedError` when a look that was due has found that the session is over."""

    def __init__(self, guard: SessionGuard, session: Session, seconds: float) -> None:
        self._guard = guard
        self._session = session
        self._seconds = seconds
        self._looked_at = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._looked_at < self._seconds:
            return
        self._looked_at = time.monotonic()
        session = self._session
        try:
            found = self._guard.get(session.id)
        except SessionGuardError as error:
            # An outage of the store is no end; the next look asks again.
            _log.warning("a streamed response could not be looked after: %s", error)
            return
        if found is None or found.status != "active" or found.owner != session.owner:
            raise SessionEndedError(session.id, None if found is None else found.reason)


async def _awaited(body: AsyncGenerator[bytes, None], watch: Watch, session: Session) -> AsyncIterator[bytes]:
    ended = asyncio.ensure_future(watch.until_ended())
    coming: asyncio.Future[bytes] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(body))
            await asyncio.wait({coming, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise SessionEndedError(session.id, None)
            try:
                part = coming.result()
            except StopAsyncIteration:
                return
            yield part
    finally:
        for task in (ended, coming):
            if task is not None and not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await task
        await body.aclose()
