"""A login in a browser that another owner used: in which order the one session opens and the other one ends."""

from contextlib import suppress
from typing import Final

from sessionguard.adapters.visits.calls import Flow, ask
from sessionguard.core.session import Session
from sessionguard.errors import SessionGuardError

_OTHER_OWNER: Final = "other-owner"
_WITHDRAWN: Final = "withdrawn"


def opened_over(former: Session, opening: Flow[Session]) -> Flow[Session]:
    """Give the session that `opening` opens, with `former` ended after it.

    A login that is refused or fails leaves the visitor with `former`, and the caller hands nothing out: what was opened
    is ended again, or, if the store cannot be asked for that either, expires without anybody having had its token.
    """
    opened = yield from opening
    try:
        yield from ask("end", former, _OTHER_OWNER)
    except SessionGuardError:
        with suppress(SessionGuardError):
            yield from ask("end", opened, _WITHDRAWN)
        raise
    return opened
