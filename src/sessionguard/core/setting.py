"""What all flows of one guard share, and what they check alike."""

from collections.abc import Callable
from datetime import datetime

from attrs import frozen

from sessionguard.core import events as e
from sessionguard.core.policy import PolicyBook
from sessionguard.core.records import SessionRecord
from sessionguard.core.session import Session
from sessionguard.core.tokens import Mint, is_anonymous
from sessionguard.errors import IdentityMismatchError, InvalidArgumentError

Clock = Callable[[], datetime]


@frozen
class Setting:
    """The policies, the mint, the listeners and the clock of one guard."""

    policies: PolicyBook
    mint: Mint
    bus: e.EventBus
    clock: Clock | None
    has_files: bool

    def at(self) -> datetime | None:
        """Give the instant to judge by; None leaves that to the engine's clock."""
        return None if self.clock is None else self.clock()


def valid_session(session: object) -> Session:
    """Give `session` if it is one, else raise `InvalidArgumentError`."""
    if not isinstance(session, Session):
        raise InvalidArgumentError(
            "session", type(session).__name__, "give the Session that create, load or get returned"
        )
    return session


def same_session(session: Session, record: SessionRecord, verb: str) -> SessionRecord:
    """Give `record`, with which a store answered `verb`, if it is of `session`; else raise `IdentityMismatchError`."""
    if record.scope != session.scope:
        raise IdentityMismatchError("the", verb, "scope")
    # An anonymous session may have received its owner since.
    if record.owner != session.owner and not is_anonymous(session.owner):
        raise IdentityMismatchError("the", verb, "owner")
    if record.generation != session.generation:
        raise IdentityMismatchError("the", verb, "generation")
    return record
