"""Errors of the library as responses, by the one table of the HTTP layer and through the application's handlers."""

import logging
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sessionguard.adapters import http
from sessionguard.adapters.asgi.messages import App, Scope
from sessionguard.errors import SessionGuardError

_log = logging.getLogger("sessionguard.adapters")


def register(app: Any) -> None:
    """Have `app` answer our errors by the table, unless it has a handler of its own for them."""
    # One handler, for the base class: an application's handler for any of our errors is nearer and wins.
    app.exception_handlers.setdefault(SessionGuardError, answer)


async def answer(request: Request, error: Exception) -> Response:
    """Give the response to `error`; what is the program's fault is raised on, as any other exception is.

    It passes through the application's handlers for that status, so its error pages look as everywhere else.
    """
    assert isinstance(error, SessionGuardError)
    told = http.answer_to(error)
    if told.status == 500:
        raise error
    # The client learns the status; the rest is for the log. No error of ours holds a token or a raw line break.
    _log.warning("%s %s: %s", told.status, error.code, error)
    retry = told.retry_after_seconds
    headers = None if retry is None else {"Retry-After": str(retry)}
    page = HTTPException(told.status, headers=headers)
    response = await _handled(request, page)
    if response is None:
        response = PlainTextResponse(HTTPStatus(told.status).phrase, told.status, headers)
    elif retry is not None:
        response.headers.setdefault("Retry-After", str(retry))
    return response


async def response_to(scope: Scope, error: SessionGuardError) -> App | None:
    """Give what the application's handlers say to an error that none of them could catch; None if there are none."""
    return await _handled(Request(scope), error)


async def _handled(request: Request, error: Exception) -> Response | None:
    handlers = getattr(request.scope.get("app"), "exception_handlers", {})
    keys: list[Any] = [error.status_code] if isinstance(error, HTTPException) else []
    # Exception itself is for what nobody expected: Starlette answers with it outside of all middleware.
    keys += [kind for kind in type(error).__mro__ if kind not in (Exception, BaseException, object)]
    for key in keys:
        if key in handlers:
            return await _called(handlers[key], request, error)
    return None


async def _called(handler: Any, request: Request, error: Exception) -> Response:
    if iscoroutinefunction(handler) or iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004
        response: Response = await handler(request, error)
    else:
        response = await run_in_threadpool(handler, request, error)
    return response
