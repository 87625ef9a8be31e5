"""What all flows of one guard share, and what they check alike."""

from collections.abc import Callable
from datetime import datetime

from attrs import frozen

from sessionguard.core import events as e
from sessionguard.core.policy import PolicyBook
from sessionguard.core.session import Session
from sessionguard.core.tokens import Mint
from sessionguard.errors import ConfigurationError, InvalidArgumentError

Clock = Callable[[], datetime]


@frozen
class Setting:
    """The policies, the mint, the listeners and the clock of one guard."""

    policies: PolicyBook
    mint: Mint
    bus: e.EventBus
    clock: Clock | None
    monotonic: Callable[[], float]
    """Seconds that never go back, for bounds on how long a call may take."""
    has_files: bool
    may_forget: bool = False
    """Whether the store may lose what it acknowledged, as in a failover."""
    can_lease: bool = False
    """Whether the store knows who holds a session."""
    leases_in_store: bool = False
    """Whether the store is to be asked if files are in use, for who uses them may be on another machine."""

    def at(self) -> datetime | None:
        """Give the instant to judge by; None leaves that to the engine's clock."""
        if self.clock is None:
            return None
        at = self.clock()
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise ConfigurationError("clock", at, "it must give an aware datetime, such as datetime.now(timezone.utc)")
        return at


def valid_session(session: object) -> Session:
    """Give `session` if it is one, else raise `InvalidArgumentError`."""
    if not isinstance(session, Session):
        raise InvalidArgumentError(
            "session", type(session).__name__, "give the Session that create, load or get returned"
        )
    return session
