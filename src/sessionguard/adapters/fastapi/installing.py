"""Binds a guard to an application of FastAPI or Starlette: middleware, error handlers and the security scheme."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from starlette.applications import Starlette

from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.asgi.messages import App, Receive, Scope, Send
from sessionguard.adapters.asgi.pages import PrivatePages
from sessionguard.adapters.external.mounting import required_ids
from sessionguard.adapters.fastapi import answers, external
from sessionguard.adapters.fastapi.scheme import SCHEME_NAME, scheme_of
from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.errors import ConfigurationError, MisuseError
from sessionguard.guard import SessionGuard

AnyApp = TypeVar("AnyApp", bound=Starlette)
_OTHER: Final = "SessionMiddleware"


def install(
    app: AnyApp,
    guard: AsyncSessionGuard | SessionGuard | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> AnyApp:
    """Bind `guard` to `app`, once, and give `app`. No store is asked yet.

    The settings SESSIONGUARD_* of `config`, or else of the environment, hold with and without a guard; without one they
    also say which to open, and it is closed with the application. The `options` are those of `SessionGuardMiddleware`.
    As everywhere in Starlette, middleware that is added later is around this one: what needs the session is added
    before, CORS after.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
        MisuseError: sessionguard is bound to `app` already, `app` serves requests already, or it has another middleware
            of sessions. One that is added later is told as the application starts, and in its first request.
    """
    if not isinstance(app, Starlette):
        raise ConfigurationError("app", type(app).__name__, "the application comes first: install(app, guard)")
    if app.middleware_stack is not None:
        raise MisuseError("the application serves requests already; call install where it is built")
    bound: Any = _around
    if any(each.cls is bound for each in app.user_middleware):
        raise MisuseError("sessionguard is already bound to this application; call install once")
    _refuse_others(app)
    options = {"respond": answers.response_to, **options}
    made = SessionGuardMiddleware.from_settings(app, config, guard=guard, **options)
    # Made already, so that what is wrong with a setting is told here and not at the first request.
    app.add_middleware(_around, made)
    answers.register(app)
    _prepare(app)
    _check_at_start(app, made)
    if isinstance(app, FastAPI):
        _document(app, made)
    return app


def _around(app: App, made: SessionGuardMiddleware) -> SessionGuardMiddleware:
    made.app = app
    return made


def _refuse_others(app: Starlette) -> None:
    """Refuse another middleware that keeps `request.session`: around ours it would send our data to the browser.

    Within ours, the session would be its alone, and no login, mode or logout of ours would have to do with it.
    """
    if _has_others(app):
        raise MisuseError(
            f"{_OTHER} keeps request.session as well, and sessionguard takes its place; take it out of the "
            "application's middleware"
        )


def _has_others(app: Starlette) -> bool:
    # By name, also of what it derives from: Starlette's has it, and so have those that were made after it.
    return any(kind.__name__ == _OTHER for each in app.user_middleware for kind in getattr(each.cls, "__mro__", ()))


def _prepare(app: Starlette) -> None:
    build = app.build_middleware_stack

    def refuse_or_start(stack: App) -> App:
        async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
            # What the start of the application runs tells of it by itself, so that the server stops.
            if scope["type"] != "lifespan":
                _refuse_others(app)
            await stack(scope, receive, send)

        return refusing

    def build_whole() -> App:
        # Around all of it: the page of an error that nobody expected comes from outside of all middleware.
        stack = PrivatePages(build())
        return refuse_or_start(stack) if _has_others(app) else stack

    app.build_middleware_stack = build_whole  # type: ignore[method-assign]


def _check_at_start(app: Starlette, made: SessionGuardMiddleware) -> None:
    """Have an application not start that was given since what it cannot be served with.

    That is another middleware of sessions, or the session protocol's routes without a word on what ids can do.
    """
    given = app.router.lifespan_context

    @asynccontextmanager
    async def checked(started: Any) -> AsyncIterator[Any]:
        if external.are_among(app.routes):
            required_ids(made.rules)
        _refuse_others(app)
        async with given(started) as state:
            yield state

    app.router.lifespan_context = checked


def _document(app: FastAPI, made: SessionGuardMiddleware) -> None:
    """Have the schema say how this application's tokens travel."""
    given = app.openapi

    def openapi() -> dict[str, Any]:
        schema = given()
        schemes = schema.get("components", {}).get("securitySchemes", {})
        if SCHEME_NAME in schemes:
            schemes[SCHEME_NAME] = scheme_of(made.rules.transport)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
