"""The session of the request that is being handled here and now."""

from collections.abc import Callable
from contextvars import ContextVar, Token

from sessionguard.core.session import Session

Resolver = Callable[[], Session | None]

_current: ContextVar[Session | Resolver | None] = ContextVar("sessionguard_current_session", default=None)


def current_session() -> Session | None:
    """Give the session of this request; None without one, and outside a request.

    It creates nothing. However often it is called, the request's session is resolved once.
    """
    current = _current.get()
    return current() if callable(current) else current


def enter(session: Session | Resolver | None) -> Token[Session | Resolver | None]:
    """Make `session` the current one until `leave`; for adapters.

    An adapter that loads the session at its first use passes what loads it: it learns of that use, and the
    response gets the headers that every use of a session demands.
    """
    return _current.set(session)


def leave(token: Token[Session | Resolver | None]) -> None:
    """Undo the `enter` that gave `token`; for adapters."""
    _current.reset(token)
