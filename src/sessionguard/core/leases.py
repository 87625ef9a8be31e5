"""What a flow may ask a store about leases: bounded claims that a session, and what belongs to it, is in use.

Many may hold a session at once. Each claim is named by its holder, which is drawn at random for it and so recognises
its repetitions. A lease lapses unless it is renewed, so a holder that died keeps nothing for long.
"""

from datetime import datetime
from typing import ClassVar, Final

from attrs import field, frozen

from sessionguard.core.commands import Command, Fence
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.errors import LeaseLostError, LockLostError

LEASE: Final = ""
"""Stands for the lease where a fence names a lock: no lock has an empty name."""


@frozen
class LeaseReply:
    """How it stands with a lease.

    DONE: held, or given back. ENDED: the session is over, and this holder does not hold it. CONFLICT: it was given back
    before, so a late repetition takes nothing; or, when given back, that it had lapsed.
    """

    outcome: Outcome
    fence: int = 0
    """The number with which this holder holds it, higher than that of everyone who came before."""
    until_us: int = 0
    """When it lapses; after it was given back, when the last of the others lapses. 0: nobody holds the session."""
    floor: int = 0
    """The lowest number with which anybody holds it: lower ones have lapsed or were given back."""
    reason: str | None = None
    """Why the session is over for this holder, if it is."""


@frozen
class _LeaseCommand(Command[LeaseReply]):
    session_id: str
    holder: str
    """Names one claim; drawn at random as an operation id."""
    at: datetime | None


@frozen
class HoldLease(_LeaseCommand):
    """Hold the session for `lease_us` from now, and touch it if it is active.

    Who holds it already keeps its fence, also once the session is over: what belongs to the session stays until the
    last has let go. Anyone else, and who let it lapse, needs an active session and gets a new fence. A session that has
    received its owner since is over for who knows it as a visitor's: that hold is kept, and does not touch it.
    """

    verb: ClassVar[str] = "hold_lease"
    lease_us: int
    meant: SessionRecord | None = field(default=None, kw_only=True, repr=False)
    """The session as the holder knows it (`sessionguard.core.visitors`)."""


@frozen
class ReleaseLease(_LeaseCommand):
    """Let go. The same again is answered the same, and nothing is kept of who held it but that answer."""

    verb: ClassVar[str] = "release_lease"


@frozen
class FindLease(Command["int | None"]):
    """Give the instant in microseconds when the last lease of the session lapses; None if nobody holds it."""

    verb: ClassVar[str] = "leased_until"
    session_id: str
    at: datetime | None


def is_of_hold(fence: Fence | None) -> bool:
    """Tell whether it is the fence of a hold, which keeps the files of its session also once that is over."""
    return fence is not None and fence.name == LEASE


def lost(session_id: str, fence: Fence) -> LockLostError | LeaseLostError:
    """Give the error for who writes with a fence that is too low."""
    if is_of_hold(fence):
        return LeaseLostError(session_id, f"it lapsed with fence {fence.number}, and others hold the session since")
    return LockLostError(session_id, fence.name, fence.number)
