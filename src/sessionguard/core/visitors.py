"""Sessions of visitors without a name, each of which may receive an owner: what who knew it before may still do.

Whoever holds a visitor's session as it was before the login may be another person than the one who logged in: somebody
who planted the token, or whose request was under way. To that caller the session is over from the login on.
"""

from typing import Final

from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import is_anonymous

LOGIN_REASON: Final = "login"
"""Told to a caller for whom the session is over because it is its owner's by now. It is never stored."""


def visitor_of(meant: SessionRecord | None) -> str | None:
    """Give whose session it has to be still for a change by a caller who knows it as `meant`; None: anybody's.

    Only an anonymous session can receive another owner, so for all others there is nothing that a store had to check.
    """
    return meant.owner if meant is not None and is_anonymous(meant.owner) else None


def is_taken(record: SessionRecord, meant: SessionRecord | None) -> bool:
    """Tell whether the stored session has received its owner since the caller knew it as `meant`."""
    return meant is not None and record.owner != meant.owner and is_anonymous(meant.owner)


def ended_reason(record: SessionRecord | None, meant: SessionRecord | None) -> str | None:
    """Give why the session is over for a caller who knows it as `meant`; None: it is not, or nobody knows."""
    if record is None or record.reason is not None:
        return None if record is None else record.reason
    return LOGIN_REASON if is_taken(record, meant) else None
