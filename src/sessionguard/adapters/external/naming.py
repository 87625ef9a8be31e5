"""What every policy answers, and what it answers to nearly all of it."""

from typing import Protocol

from attrs import frozen

from sessionguard.adapters.visits.calls import Flow
from sessionguard.core.session import NOTHING_REMOVED, Removed, Session


@frozen
class Opened:
    """A session that `new-session` opened, and what became of the files of the one before it."""

    session: Session
    removed: Removed = NOTHING_REMOVED

    @classmethod
    def after(cls, session: Session, former: Session | None) -> "Opened":
        """Give `session`, which came in the place of `former`."""
        return cls(session, NOTHING_REMOVED if former is None else former.removed)


class Naming(Protocol):
    """One policy at work on one request."""

    def find(self, selected: str) -> Flow[Session]:
        """Give the session that `selected` selects.

        Raises:
            ExternalIdUnknownError: there is none for this caller.
            ExternalIdClaimedError: another browser has it.
            ExternalIdRefusedError: it was presented without what admits to it.
            SessionMismatchError: the request belongs to another session, or to another owner.
        """

    def locate(self, selected: str) -> Flow[Session | None]:
        """Give what `find` would, without opening anything; None if there is none."""

    def open(self, selected: str | None) -> Flow[Opened]:
        """Open a session; under the name `selected`, the one that had it before is over."""

    def own(self) -> Flow[tuple[Session, ...]]:
        """Give the active sessions of this caller, newest first."""

    def forget(self, selected: str) -> None:
        """Have the browser forget how it was bound to what `selected` selected."""
