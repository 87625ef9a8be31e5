"""The session of the request that is being handled here and now."""

from collections.abc import Callable
from contextvars import ContextVar, Token

from sessionguard.core.session import Session

Resolver = Callable[[], Session | None]


class Entry:
    """One request from `enter` to `leave`. Emptied then, because copies of its context outlive it."""

    __slots__ = ("current", "holder", "token")

    def __init__(self, current: Session | Resolver | None, holder: object = None) -> None:
        self.current = current
        self.holder = holder
        self.token: Token[Entry | None]


_entry: ContextVar[Entry | None] = ContextVar("sessionguard_current_session", default=None)


def current_session() -> Session | None:
    """Give the session of this request; None without one, and outside a request.

    It creates nothing. However often it is called, the request's session is resolved once. A job started with a
    copy of the request's context is outside as soon as the request is over.
    """
    entry = _entry.get()
    current = None if entry is None else entry.current
    return current() if callable(current) else current


def current_holder() -> object:
    """Give what the adapter keeps of this request's sessions; None outside a request. For adapters."""
    entry = _entry.get()
    return None if entry is None else entry.holder


def enter(session: Session | Resolver | None, holder: object = None) -> Entry:
    """Make `session` the current one until `leave`; for adapters.

    An adapter that loads the session at its first use passes what loads it: it learns of that use, and the
    response gets the headers that every use of a session demands. `holder` is what `current_holder` gives.
    """
    entry = Entry(session, holder)
    entry.token = _entry.set(entry)
    return entry


def finish(entry: Entry) -> None:
    """Let the request of `entry` be over for all who run in it, in whatever context this is noticed; for adapters."""
    entry.current = entry.holder = None


def leave(entry: Entry) -> None:
    """Undo the `enter` that gave `entry`; for adapters.

    In the context of another, such as that of a thread or task that closes a response, the request is over for all
    the same, and the current session of that context is left as it is.
    """
    finish(entry)
    try:  # noqa: SIM105 - suppress() takes longer than all else here, where each request comes by
        _entry.reset(entry.token)
    except ValueError:
        pass
