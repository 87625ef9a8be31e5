"""`AsyncVisit`: one request's dealings with its session, for frameworks that await."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, TypeVar

from sessionguard import context
from sessionguard.adapters.fields import Fields
from sessionguard.adapters.http import Header
from sessionguard.adapters.modes import Mode
from sessionguard.adapters.visits.calls import Flow, run_async, taker_of
from sessionguard.adapters.visits.flows import VisitFlows
from sessionguard.adapters.visits.rules import VisitRules
from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.core.session import Session
from sessionguard.errors import ConfigurationError, SessionEndedError
from sessionguard.guard import SessionGuard

R = TypeVar("R")


class AsyncVisit:
    """The session of one request, and what the request does with it. Not for use by two tasks at once.

    The same names as on `Visit`, awaited. A blocking guard runs in threads.
    """

    __slots__ = ("_taken", "flows")

    def __init__(self, rules: VisitRules, presented: Iterable[bytes] = (), *, flows: VisitFlows | None = None) -> None:
        """`presented` are the raw values of the request header that carries the token.

        `flows` are those of a `Visit`, for requests that blocking and async code handle together.
        """
        self.flows = VisitFlows(rules, presented) if flows is None else flows
        self._taken = taker_of(rules.guard)

    async def run(self, flow: Flow[R]) -> R:
        """Run a flow of this request on its guard; for adapters."""
        return await run_async(flow, self._taken)

    @property
    def guard(self) -> SessionGuard | AsyncSessionGuard:
        """The guard of the application, for all other calls."""
        return self.flows.rules.guard

    @property
    def fields(self) -> Fields | None:
        """The mapping that views read and write, where the framework gives them one."""
        return self.flows.fields

    async def session(self) -> Session | None:
        """Give the visitor's session, or None. The store is asked once; an outage stays one for this request."""
        flows = self.flows
        if not flows.is_resolved:
            await self.run(flows.resolve())
        return flows.known()

    async def opened(self) -> Session:
        """Give the visitor's session; without one, open an anonymous one that holds what was written so far."""
        return await self.run(self.flows.opened())

    async def save(self) -> None:
        """Store what the request wrote, opening a session if it has none; nothing written stores nothing."""
        # Most requests only read; for them no flow is run.
        if self.flows.has_changes:
            await self.run(self.flows.save())

    async def login(self, owner: str) -> Session:
        """Give a session of `owner` with a token that nobody held before.

        The visitor's anonymous session becomes the owner's, with its data. Without one, one is opened. That of another
        owner is ended once the new one is open, and nothing of it is carried over; if either fails, the visitor is who
        he was.

        Raises:
            InvalidArgumentError: `owner` is not non-empty text; the store was not asked.
        """
        return await self.run(self.flows.login(owner))

    async def rotate(self) -> None:
        """Give the session a new token, unless there is none or this response sets one anyway."""
        await self.run(self.flows.rotate())

    async def logout(self) -> Session | None:
        """End the visitor's session on the server, then have the client forget its token; None if there was none.

        Raises:
            StoreUnavailableError: the session may still be active; the client keeps its token.
        """
        return await self.run(self.flows.logout())

    async def logout_others(self) -> int:
        """End the visitor's other sessions of this kind, his other devices; gives how many they were."""
        return await self.run(self.flows.logout_others())

    async def logout_everywhere(self) -> int:
        """End all sessions of the visitor, of every kind, this one among them; gives how many they were."""
        return await self.run(self.flows.logout_everywhere())

    async def new_session(self, scope: str | None = None, data: Mapping[str, Any] | None = None) -> Session:
        """Give a session for one upload or workflow: always new, the visitor's own, with its own workspace.

        The token stays that of the visitor, who is given an anonymous session first if there is none. A later
        request finds it with `own_session(session.id)`.
        """
        return await self.run(self.flows.new_session(scope, data))

    async def own_session(self, session_id: str, scope: str | None = None) -> Session | None:
        """Give the visitor's active session with this id, in `scope` or any; None for every other id, all alike."""
        return await self.run(self.flows.own_session(session_id, scope))

    async def own_sessions(self, scope: str | None = None) -> tuple[Session, ...]:
        """Give the visitor's active sessions, newest first: his devices, or with `scope` those of another kind."""
        return await self.run(self.flows.own_sessions(scope))

    async def get_or_create(
        self,
        owner: str,
        *,
        scope: str = "default",
        data: Mapping[str, Any] | None = None,
        external_id: str | None = None,
    ) -> Session:
        """Give the one active session of the slot; however often this request asks, the store is asked once."""
        return await self.run(self.flows.get_or_create(owner, scope=scope, data=data, external_id=external_id))

    async def expect(self, session_id: str) -> Session:
        """Give the visitor's session, which the page or job that carries `session_id` believes it to be.

        Raises:
            SessionMismatchError: it is another one by now, or none; the event `ContextLost` was published.
        """
        return await self.run(self.flows.expect(session_id))

    @asynccontextmanager
    async def workspace(self, session: Session | None = None) -> AsyncIterator[Any]:
        """Lend the workspace of `session`, or of the visitor's own, which is opened if there is none.

        Raises:
            ConfigurationError: the guard blocks, so its workspaces do; only `AsyncSessionGuard` has awaited ones.
        """
        guard = self.flows.rules.guard
        if not isinstance(guard, AsyncSessionGuard):
            raise ConfigurationError(
                "guard", "SessionGuard", "give an AsyncSessionGuard, or take visit.guard.workspace in a thread"
            )
        try:
            async with guard.workspace(await self.opened() if session is None else session) as lent:
                yield lent
        except SessionEndedError as error:
            self.flows.let_go_after(error)
            raise

    # What adapters do as a request goes by

    async def enter_mode(self, mode: Mode) -> None:
        """Go on in `mode`, as the view is marked; wait for earlier requests of the session if it takes turns."""
        await self.run(self.flows.enter_mode(mode))

    def private(self, headers: Iterable[Header], expires: datetime | None = None) -> list[Header]:
        """Give the headers to send instead of `headers`; `expires` is for a token that is handed out."""
        return self.flows.private(headers, expires)

    async def seal(self) -> None:
        """Refuse changes from now on, and let the next request of the session run."""
        self.flows.stop()
        await self.release()

    async def release(self) -> None:
        """Let the next request of the session run."""
        if self.flows.has_turn:
            await self.run(self.flows.release())

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make the visitor's session the current one (`sessionguard.current_session`) inside the block.

        It must have been resolved.
        """
        entry = context.enter(self.flows.known, self.flows.resolved)
        try:
            yield
        finally:
            context.leave(entry)
