"""What all flows of one guard share, and what they check alike."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from attrs import field, frozen

from sessionguard.core import events as e
from sessionguard.core.hooks import Hooks
from sessionguard.core.policy import PolicyBook
from sessionguard.core.session import Session
from sessionguard.core.tokens import Mint
from sessionguard.errors import ConfigurationError, InvalidArgumentError

Clock = Callable[[], datetime]

DEFAULT_ORPHAN_AGE: Final = timedelta(hours=1)
"""A session is known before its first file is made, so only a store that is behind can miss one that lives. An hour is
long for a replica or a rolling restore, and short enough for files that nobody can reach any more."""


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
    has_fleet: bool = False
    """Whether the store can count what is due and give turns."""
    orphan_age: timedelta = DEFAULT_ORPHAN_AGE
    """Files of which the store knows no session are left alone until they are as old as this."""
    wall: Clock | None = None
    """The clock of this machine, only to guess if a question is worth asking; what it is about, the engine decides."""
    hooks: Hooks = field(factory=lambda: Hooks(lambda function, error: None))
    """What the application wants done when a session has ended."""

    def at(self) -> datetime | None:
        """Give the instant to judge by; None leaves that to the engine's clock."""
        if self.clock is None:
            return None
        at = self.clock()
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise ConfigurationError("clock", at, "it must give an aware datetime, such as datetime.now(timezone.utc)")
        return at

    def guessed_at(self) -> datetime | None:
        """Give about the instant it is; None: nobody here can tell."""
        return self.at() or (None if self.wall is None else self.wall())


def valid_session(session: object) -> Session:
    """Give `session` if it is one, else raise `InvalidArgumentError`."""
    if not isinstance(session, Session):
        raise InvalidArgumentError(
            "session", type(session).__name__, "give the Session that create, load or get returned"
        )
    return session
