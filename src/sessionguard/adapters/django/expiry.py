"""From when on Django holds a session for expired: kept with its data, and only ever stricter than the policy."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from sessionguard.core.instants import from_us
from sessionguard.core.session import Session, record_of

UNTIL: Final = "_sessionguard_until"
"""The field that holds it, in milliseconds since the epoch. Views do not see it."""
EXPIRY: Final = "_session_expiry"
"""The field in which Django keeps what `set_expiry` was told."""

_OFTEN_MS: Final = 60_000


def now_ms() -> int:
    """Give the instant to judge by: Django's own, which tests of applications replace."""
    return int(timezone.now().timestamp() * 1000)


def until_of(session: Session) -> int:
    """Give from when on `session` is expired by what Django was told; 0 if nothing was kept."""
    until = session.data.get(UNTIL)
    return until if isinstance(until, int) else 0


def is_over(session: Session) -> bool:
    """Tell whether `session` is expired by what Django was told."""
    # A session that another part of the application opened has no such field, and lives by the policy alone.
    return UNTIL in session.data and now_ms() >= until_of(session)


def until_ms(session: SessionBase, values: Mapping[str, Any]) -> int:
    """Give from when on a session that is stored now with `values` is expired."""
    return int(session.get_expiry_date(expiry=values.get(EXPIRY)).timestamp() * 1000)


def is_due(before_ms: int, after_ms: int) -> bool:
    """Tell whether that a session is to live until `after_ms` instead of `before_ms` is worth a write of its own."""
    return abs(after_ms - before_ms) >= min(_OFTEN_MS, (after_ms - now_ms()) // 20)


def cookie_expires(session: SessionBase, stored: Session, expiry: Any) -> datetime | None:
    """Give until when a browser is to keep the cookie of a session with this `expiry`; None: until it closes.

    Where Django would set the cookie anew with each change, this one is kept as long as the session may live: the
    server judges in any case.
    """
    if session.get_expire_at_browser_close() if expiry is None else expiry == 0:
        return None
    if isinstance(expiry, str):
        return datetime.fromisoformat(expiry).astimezone(UTC)
    return from_us(record_of(stored).absolute_us)
