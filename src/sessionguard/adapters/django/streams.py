"""Responses that are streamed for longer than their session lives: they are cut off when it has ended."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sessionguard.adapters.asgi.watching import LoopPace, Watch
from sessionguard.adapters.django.session import VisitedSession
from sessionguard.adapters.streaming import looked_after
from sessionguard.core.session import Session
from sessionguard.errors import SessionEndedError


def cut_off(response: Any, session: VisitedSession, interval: timedelta) -> None:
    """Have the body of `response` end with the session, at which is looked every `interval`.

    The body may be the first to look at the session: it depends on it from then on. A client sees the connection
    break, not a whole response: what it has is not all that there would have been.
    """
    if response.is_async:
        response.streaming_content = _awaited(response.streaming_content, session, interval)
    else:
        response.streaming_content = looked_after(response.streaming_content, session.visit, interval)


async def _until_ended(session: VisitedSession, interval: timedelta) -> Session:
    """Return, with the session that the body depends on, when it has ended."""
    pace, flows = LoopPace(), session.visit.flows
    is_late = flows.found is None
    while flows.found is None:
        await pace.wait(interval.total_seconds())
    found = flows.found
    watch = Watch(session.awaited, found, interval, pace)
    if is_late:
        # It may have ended since the body looked at it.
        await watch.look()
    await watch.until_ended()
    return found


async def _awaited(
    body: AsyncGenerator[bytes, None], session: VisitedSession, interval: timedelta
) -> AsyncIterator[bytes]:
    ended = asyncio.ensure_future(_until_ended(session, interval))
    coming: asyncio.Future[bytes] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(body))
            await asyncio.wait({coming, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise SessionEndedError(ended.result().id, None)
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
