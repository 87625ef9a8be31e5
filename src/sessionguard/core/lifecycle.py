"""The life cycle of a session, and the only judge of whether one is usable.

A stored record is ACTIVE, EXPIRED (its time is over, though no one has written that down yet) or ENDED.
`OUTCOMES` says what each verb meets in each state; moves that are not in the table do not exist, so
nothing leads from EXPIRED or ENDED back to ACTIVE. The table in docs/concepts/life-cycle.md is checked
against it.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal

from attrs import evolve

from sessionguard.core.records import SessionRecord

EXPIRED_REASON: Final = "expired"
REPLACED_REASON: Final = "replaced"
REVOKED_REASON: Final = "revoked"
LIMIT_REASON: Final = "limit"
"""It had to go because its owner may have no more sessions in its scope at once."""


Refusal = Literal["malformed", "unknown key", "unknown", "expired", "ended", "foreign scope", "after grace"]
"""Why a token leads to no session: for the log, never for the client."""


class State(Enum):
    """What a record is at an instant."""

    ACTIVE = "active"
    EXPIRED = "expired"
    ENDED = "ended"


class Verb(Enum):
    """What may be asked of an existing record."""

    LOAD = "load"
    SAVE = "save"
    TOUCH = "touch"
    ROTATE = "rotate"
    END = "end"
    REPLACE = "replace"
    SWEEP = "sweep"
    PURGE = "purge"


class Outcome(Enum):
    """How a change ended. Whatever is not DONE changed nothing."""

    DONE = "done"
    ENDED = "ended"
    """The session has ended or expired, or is not known; or it has received its owner since the caller knew it."""
    CONFLICT = "conflict"
    """Another change came first: the expected version or token is not the stored one."""
    FENCED = "fenced"
    """The lock under which the change was made has been given to another since."""
    TOO_LARGE = "too large"
    """The data would exceed the limit."""
    FULL = "full"
    """The owner has as many sessions in the scope as allowed."""


# (state, verb) -> the state afterwards; None: the record is forgotten. Absent: refused, nothing changes.
OUTCOMES: Final[Mapping[tuple[State, Verb], State | None]] = MappingProxyType(
    {
        (State.ACTIVE, Verb.LOAD): State.ACTIVE,
        (State.ACTIVE, Verb.SAVE): State.ACTIVE,
        (State.ACTIVE, Verb.TOUCH): State.ACTIVE,
        (State.ACTIVE, Verb.ROTATE): State.ACTIVE,
        (State.ACTIVE, Verb.END): State.ENDED,
        (State.ACTIVE, Verb.REPLACE): State.ENDED,
        (State.EXPIRED, Verb.REPLACE): State.ENDED,
        (State.EXPIRED, Verb.SWEEP): State.ENDED,
        (State.ENDED, Verb.PURGE): None,
    }
)


def state_of(record: SessionRecord, now_us: int) -> State:
    """Tell what `record` is at `now_us`. A session is expired from its `expires_us` on, not after it."""
    if record.reason is not None:
        return State.ENDED
    return State.ACTIVE if now_us < record.expires_us else State.EXPIRED


def allows(record: SessionRecord, verb: Verb, now_us: int) -> bool:
    """Tell whether `verb` may act on `record` at `now_us`."""
    return (state_of(record, now_us), verb) in OUTCOMES


def touch_is_due(record: SessionRecord, now_us: int) -> bool:
    """Tell whether being seen at `now_us` is worth a write."""
    return now_us - record.last_seen_us >= record.touch_us


def settled(record: SessionRecord, now_us: int) -> SessionRecord:
    """Give `record` as a reader must see it: an expired one as ended, whoever writes that down later."""
    if state_of(record, now_us) is not State.EXPIRED:
        return record
    return evolve(record, reason=EXPIRED_REASON, ended_us=record.expires_us)


def refusal_of(record: SessionRecord, token_hash: bytes, scope: str | None, now_us: int) -> Refusal | None:
    """Tell why `record`, to which `token_hash` led, is not to be given out, or None if it is."""
    if record.reason is not None:
        return "expired" if record.reason == EXPIRED_REASON else "ended"
    if now_us >= record.expires_us:
        return "expired"
    if record.token_hash != token_hash and now_us >= (record.previous_until_us or 0):
        return "after grace"
    if scope is not None and record.scope != scope:
        return "foreign scope"
    return None
