"""ASGI: `SessionGuardMiddleware` keeps `scope["session"]` in a guard, on any server, with or without a framework."""

from sessionguard.adapters.asgi.external import ExternalRoutes, external_session
from sessionguard.adapters.asgi.middleware import SessionGuardMiddleware
from sessionguard.adapters.asgi.session import GuardedSession

__all__ = ["ExternalRoutes", "GuardedSession", "SessionGuardMiddleware", "external_session"]
