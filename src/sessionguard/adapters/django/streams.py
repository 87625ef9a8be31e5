"""Responses that are streamed for longer than their session lives: they are cut off when it has ended."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sessionguard.adapters.asgi.watching import LoopPace, Watch
from sessionguard.adapters.django.session import VisitedSession
from sessionguard.adapters.streaming import Cut, looked_after
from sessionguard.core.session import Session
from sessionguard.errors import SessionEndedError


def cut_off(response: Any, session: VisitedSession, interval: timedelta, *, is_asgi: bool) -> None:
    """Have the body of `response` end with the session, at which is looked every `interval`.

    The body may be the first to look at the session: it depends on it from then on. A client sees the connection
    break, not a whole response: what it has is not all that there would have been.
    """
    cut: Cut = _as_if_gone if is_asgi else SessionEndedError
    if response.is_async:
        response.streaming_content = _awaited(response.streaming_content, session, interval, cut)
    else:
        response.streaming_content = looked_after(response.streaming_content, session.visit, interval, cut)


def _as_if_gone(session_id: str, reason: str | None) -> BaseException:
    """Give what Django's handler for ASGI takes for a client that has gone.

    Then it closes the response and the body of the request, and tells by `request_finished`, which closes connections
    to databases. After any other error that a body raises it does none of that.
    """
    return asyncio.CancelledError(str(SessionEndedError(session_id, reason)))


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
    body: AsyncGenerator[bytes, None], session: VisitedSession, interval: timedelta, cut: Cut
) -> AsyncIterator[bytes]:
    wait = _Wait(asyncio.create_task(_until_ended(session, interval)), cut)
    try:
        while True:
            try:
                part = await wait.for_part(body)
            except StopAsyncIteration:
                return
            yield part
    finally:
        try:
            await wait.give_up()
        finally:
            await body.aclose()


class _Wait:
    """Waits for the parts of a body until the session has ended, which breaks off the wait for one that is to come.

    The body goes on in the task that asks for its parts: a time limit, or a group of tasks, that it holds over several
    parts belongs to the task in which it was begun.
    """

    def __init__(self, ended: "asyncio.Task[Session]", cut: Cut) -> None:
        self._ended = ended
        self._cut = cut
        self._ended.add_done_callback(lambda _: self._break_off())
        self._waiting: asyncio.Task[Any] | None = None
        self._is_broken_off = False

    async def for_part(self, body: AsyncGenerator[bytes, None]) -> bytes:
        """Give the next part.

        Raises:
            BaseException: what `cut` makes, for the session has ended.
            StopAsyncIteration: there is none.
        """
        self._check()
        with self._breakable():
            part = await anext(body)
        # Also where the body took no notice of it.
        self._check()
        return part

    @contextmanager
    def _breakable(self) -> Iterator[None]:
        """Let the block end early, and without an error, when the session has ended; the task is left as it was."""
        task = self._waiting = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        try:
            yield
        except asyncio.CancelledError:
            # Somebody else may have cancelled it as well, and is to see that it was.
            if not self._is_broken_off or task.cancelling() - 1 > cancelling:
                raise
        finally:
            self._waiting = None
            if self._is_broken_off:
                task.uncancel()

    async def give_up(self) -> None:
        """Look after the session no longer."""
        self._ended.cancel()
        await asyncio.wait({self._ended})

    def _break_off(self) -> None:
        if self._waiting is not None:
            self._is_broken_off = True
            self._waiting.cancel()

    def _check(self) -> None:
        if self._ended.done():
            raise self._cut(self._ended.result().id, None)
