"""The session protocol in FastAPI and Starlette: its routes, and what views depend on to get the session they name."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, Final
from weakref import WeakSet

from fastapi import APIRouter, Depends
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sessionguard.adapters.asgi.external import ROUTES, Routine, external_session, rendered, reply_to
from sessionguard.core.session import Session

Endpoint = Callable[[Request], Awaitable[Response]]

_endpoints: Final[WeakSet[Endpoint]] = WeakSet()

_SUMMARIES: Final = {
    "new_session": "Open a session, under the name that the request gives or without one",
    "clear_session": "End the session that the request names, with its files, and no other",
    "debug_sessions": "Show the current session, how far its work is, and all sessions of the caller",
}


def external_router(**options: Any) -> APIRouter:
    """Give a router with `POST /new-session`, `POST /clear-session` and `GET /debug-sessions`, to be included.

    The application needs `external=ExternalIds(...)`, as `install` takes it, or does not start; whether there is a
    debug page is for that to say. `options` are those of `APIRouter`.
    """
    router = APIRouter(**options)
    for path, (method, routine) in ROUTES.items():
        name = routine.__name__
        router.add_api_route(path, _endpoint(routine), methods=[method], name=name, summary=_SUMMARIES[name])
    return router


def external_routes() -> list[Route]:
    """Give the same routes for an application of Starlette."""
    return [
        Route(path, _endpoint(routine), methods=[method], name=routine.__name__)
        for path, (method, routine) in ROUTES.items()
    ]


def _endpoint(routine: Routine) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        reply = await reply_to(request, routine)
        body, headers = rendered(reply)
        return Response(body, reply.status, dict(headers))

    _endpoints.add(endpoint)
    return endpoint


def are_among(routes: Iterable[BaseRoute]) -> bool:
    """Tell whether routes of the session protocol are among `routes`; applications mounted there have their own."""
    return any(getattr(route, "endpoint", None) in _endpoints or are_among(_below(route)) for route in routes)


def _below(route: BaseRoute) -> Iterable[BaseRoute]:
    if isinstance(getattr(route, "app", None), Starlette):
        return ()
    # Recent releases of FastAPI keep an included router as it is; older ones copy its routes.
    holder = getattr(route, "original_router", route)
    found: Iterable[BaseRoute] = getattr(holder, "routes", None) or ()
    return found


async def _named(request: Request) -> Session | None:
    return await external_session(request)


ExternalSession = Annotated[Session | None, Depends(_named)]
"""The session that the request names by `?_sid=`, or None; what it may not have is answered 400, 403, 404 or 409."""
