"""What views that run in threads, and await nothing, do with the session of their request."""

import asyncio
from typing import TypeVar

from sessionguard.adapters.visits import AsyncVisit, Visit, blocking_guard
from sessionguard.adapters.visits.calls import Flow
from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.errors import MisuseError
from sessionguard.guard import SessionGuard

R = TypeVar("R")


class ThreadVisit(Visit):
    """The visit of a request, for its view in a thread: the event loop does what it asks for."""

    __slots__ = ("_loop", "_visit")

    def __init__(self, visit: AsyncVisit, loop: asyncio.AbstractEventLoop) -> None:
        self.flows = visit.flows
        self._visit = visit
        self._loop = loop

    def run(self, flow: Flow[R]) -> R:
        """Run a flow of this request in its event loop, and wait here."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(self._visit.run(flow), self._loop).result()
        flow.close()
        # Waiting here would keep the loop from ever doing it.
        raise MisuseError("this code runs in the event loop; depend on CurrentVisit and await its calls")

    @property
    def guard(self) -> SessionGuard:
        """The guard of the application, if it blocks.

        Raises:
            MisuseError: it must be awaited.
        """
        if isinstance(self.flows.rules.guard, AsyncSessionGuard):
            raise MisuseError(
                "the guard of this application must be awaited, for files and all that the visit itself does not have; "
                "take an `async def` view with CurrentVisit, or give install a SessionGuard"
            )
        return blocking_guard(self.flows.rules)
