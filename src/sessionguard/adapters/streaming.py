"""Streamed bodies of blocking frameworks: sent for as long as the session goes on that they depend on."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

from sessionguard.adapters import settings
from sessionguard.adapters.visits import Visit
from sessionguard.adapters.visits.calls import ask
from sessionguard.core.session import Session
from sessionguard.errors import ConfigurationError, SessionEndedError, SessionGuardError

P = TypeVar("P")

KNOWN: Final = settings.KNOWN | {"CHECK_INTERVAL"}
"""The settings of blocking frameworks, without their prefix."""

_DEFAULT_INTERVAL: Final = timedelta(seconds=5)

Cut = Callable[[str, str | None], BaseException]
"""Makes what comes instead of the next piece of a stream, from the id of its session and why that has ended."""

_log = logging.getLogger("sessionguard.adapters")


def interval_of(found: Mapping[str, Any]) -> timedelta | None:
    """Give how often `SESSIONGUARD_CHECK_INTERVAL` has a stream look after its session; None for never."""
    if "CHECK_INTERVAL" not in found:
        return _DEFAULT_INTERVAL
    value = found["CHECK_INTERVAL"]
    interval = None if value is None else settings.duration("CHECK_INTERVAL", value)
    if interval is not None and interval <= timedelta(0):
        raise ConfigurationError(
            settings.PREFIX + "CHECK_INTERVAL", value, "give more than zero, or None to never look"
        )
    return interval


def looked_after(body: Iterable[P], visit: Visit, interval: timedelta, cut: Cut = SessionEndedError) -> Iterator[P]:
    """Give the pieces of `body`, and ask between two of them, once in `interval`, whether the session still goes on.

    Once it has ended, or is another owner's, what `cut` makes comes instead of the next piece, and the connection
    breaks off: the client sees that this is not the whole. An outage of the store is no end.
    """
    return _Watched(body, visit, interval.total_seconds(), cut)


class _Watched(Iterator[P]):
    def __init__(self, body: Iterable[P], visit: Visit, interval_seconds: float, cut: Cut) -> None:
        self._body = body
        self._pieces = iter(body)
        self._visit = visit
        self._interval_seconds = interval_seconds
        self._cut = cut
        self._looked_at = time.monotonic()

    def __next__(self) -> P:
        piece = next(self._pieces)
        # After the piece was made, which may have taken long, and before anybody sees it.
        now = time.monotonic()
        if now - self._looked_at >= self._interval_seconds:
            self._looked_at = now
            self._look()
        return piece

    def close(self) -> None:
        """Close the body."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()

    def _look(self) -> None:
        flows = self._visit.flows
        if not flows.is_resolved:
            # What has not looked at the session yet does not depend on it.
            return
        try:
            session = flows.known()
            if session is None:
                return
            found: Session | None = self._visit.run(ask("get", session.id))
        except SessionGuardError as error:
            _log.warning("a stream could not be looked after: %s", error)
            return
        if not flows.goes_on(session, found):
            raise self._cut(session.id, None if found is None else found.reason)
