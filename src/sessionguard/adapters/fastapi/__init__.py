"""FastAPI and Starlette: `install` binds a guard to an application; what views depend on is typed."""

from sessionguard.errors import MissingExtraError

try:
    from sessionguard.adapters.fastapi.dependencies import (
        CurrentSession,
        CurrentThreadVisit,
        CurrentVisit,
        CurrentWorkspace,
        OptionalSession,
        require_session,
    )
    from sessionguard.adapters.fastapi.external import ExternalSession, external_router, external_routes
    from sessionguard.adapters.fastapi.installing import install
except ModuleNotFoundError as error:
    if error.name not in ("fastapi", "starlette"):
        raise
    raise MissingExtraError("fastapi", "fastapi>=0.118") from error

__all__ = [
    "CurrentSession",
    "CurrentThreadVisit",
    "CurrentVisit",
    "CurrentWorkspace",
    "ExternalSession",
    "OptionalSession",
    "external_router",
    "external_routes",
    "install",
    "require_session",
]
