"""What views depend on: the visitor's session, the visit, the workspace."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import isasyncgenfunction, isawaitable, iscoroutinefunction, unwrap
from typing import Annotated, Any, Final

from fastapi import Depends
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection

from sessionguard.adapters.asgi.session import visit_in
from sessionguard.adapters.asgi.sockets import SESSION_ENDED
from sessionguard.adapters.fastapi.scheme import SessionScheme
from sessionguard.adapters.fastapi.threads import ThreadVisit
from sessionguard.adapters.visits import AsyncVisit, Visit
from sessionguard.core.session import Session
from sessionguard.core.tokens import is_anonymous
from sessionguard.errors import ConfigurationError, MisuseError
from sessionguard.workspaces.offloaded import AsyncWorkspace

_CHALLENGE: Final = {"WWW-Authenticate": "APIKey"}
"""A refusal must name a scheme, and there is no registered one for cookies; FastAPI names this one as well."""

OwnerCheck = Callable[[str], bool | Awaitable[bool]]


def visit_of(connection: HTTPConnection) -> AsyncVisit:
    """Give what this request does with its session."""
    visit = visit_in(connection.scope)
    if visit is None:
        raise MisuseError("there is no session here; call sessionguard.adapters.fastapi.install(app, guard)")
    return visit


async def _optional(visit: Annotated[AsyncVisit, Depends(visit_of)]) -> Session | None:
    return await visit.session()


class _Required(SessionScheme):
    """A session for views that are not for everybody."""

    def __init__(self, owner: str | OwnerCheck | None = None, *, anonymous: bool = True) -> None:
        super().__init__()
        self._owner = owner
        self._anonymous = anonymous

    async def __call__(self, connection: HTTPConnection) -> Session:
        session = await visit_of(connection).session()
        if session is None or (not self._anonymous and is_anonymous(session.owner)):
            raise _refusal(connection, 401)
        if self._owner is not None and not await self._is_allowed(self._owner, session.owner):
            raise _refusal(connection, 403)
        return session

    @staticmethod
    async def _is_allowed(expected: str | OwnerCheck, owner: str) -> bool:
        if not callable(expected):
            return owner == expected
        answer = expected(owner)
        # A coroutine that nobody awaited would be true for everybody.
        return (await answer if isawaitable(answer) else answer) is True


def _refusal(connection: HTTPConnection, status: int) -> Exception:
    if connection.scope["type"] == "websocket":
        return WebSocketException(SESSION_ENDED if status == 401 else _POLICY_VIOLATION)
    return HTTPException(status, headers=_CHALLENGE if status == 401 else None)


_POLICY_VIOLATION: Final = 1008


def require_session(owner: str | OwnerCheck | None = None, *, anonymous: bool = False) -> Any:
    """Give a dependency for views that are not for everybody; a parameter `Annotated[Session, ...]` takes it.

    Without a session, or with that of a visitor who has not logged in unless `anonymous`, the client is answered 401.
    Whom `owner` does not name, or does not give True for, awaited or not, is answered 403. A WebSocket is refused, or
    closed with 4401.
    """
    if owner is not None and not callable(owner) and not isinstance(owner, str):
        raise ConfigurationError("owner", owner, "give an owner, or a function that tells whether an owner may")
    return Depends(_Required(owner, anonymous=anonymous))


async def _workspace(visit: Annotated[AsyncVisit, Depends(visit_of)]) -> AsyncIterator[AsyncWorkspace]:
    async with visit.workspace() as lent:
        yield lent


async def _thread_visit(visit: Annotated[AsyncVisit, Depends(visit_of)]) -> Visit:
    return ThreadVisit(visit, asyncio.get_running_loop())


async def _awaited_visit(connection: HTTPConnection) -> AsyncVisit:
    view = getattr(connection.scope.get("route"), "dependant", None)
    # A dependency of a view in a thread may take the visit, for that may be awaited; the view itself may not.
    asked = () if view is None or _is_awaited(view.call) else view.dependencies
    if any(each.call is _awaited_visit for each in asked):
        raise MisuseError(
            "this view is `def` and runs in a thread, where no login would ever be awaited; make it `async def` and "
            "await the calls, or depend on CurrentThreadVisit"
        )
    return visit_of(connection)


def _is_awaited(view: Any) -> bool:
    given = unwrap(view)
    return any(iscoroutinefunction(each) or isasyncgenfunction(each) for each in (given, type(given).__call__))


CurrentVisit = Annotated[AsyncVisit, Depends(_awaited_visit)]
"""What this request does with its session: login, logout and all else."""
CurrentThreadVisit = Annotated[Visit, Depends(_thread_visit)]
"""The same for views that are `def` and run in threads: nothing is awaited."""
OptionalSession = Annotated[Session | None, Depends(_optional)]
"""The visitor's session, or None."""
CurrentSession = Annotated[Session, Depends(_Required())]
"""The visitor's session; without one the client is answered 401."""
CurrentWorkspace = Annotated[AsyncWorkspace, Depends(_workspace)]
"""The workspace of the visitor's session, which is opened if there is none: lent until the response is sent whole."""
