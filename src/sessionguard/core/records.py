"""What a store keeps of one session, as frozen values, and how much of what was done it remembers."""

from typing import Final

from attrs import frozen

REMEMBERED_OPERATIONS: Final = 32
"""A store knows at least this many of the last saves and ends of each session again when they are repeated.

A rotation is known by its token, for as long as that is the session's token or the one before."""
REMEMBERED_US: Final = 600_000_000
"""It knows operations on many sessions again for at least this long: far longer than anyone repeats a call."""


@frozen
class Lifetime:
    """How long a session may live, fixed when it is opened and stored with it.

    Kept in the record, not looked up later, so that a store can extend, end and forget any session in
    one atomic step without knowing any policy.
    """

    idle_us: int
    """An untouched session expires this long after it was last seen."""
    absolute_us: int
    """Every session expires this long after it was created."""
    touch_us: int
    """Being seen is written down at most this often."""
    retention_us: int
    """An ended session is kept as history for this long."""
    keeps_data: bool = False
    """Whether the data stays in the history; otherwise it is erased in the ending operation."""


@frozen
class NewSession:
    """A session that a store is asked to open; id and token hash were minted for this one command."""

    id: str
    scope: str
    owner: str
    external_id: str | None
    token_hash: bytes
    data: str
    """A JSON object as text."""
    lifetime: Lifetime


@frozen
class SessionRecord:
    """The stored state of one session at one instant. Field names ending in `_us` are microseconds."""

    id: str
    scope: str
    owner: str
    external_id: str | None
    exclusive: bool
    """True for the session of a slot: at most one such record is active per (scope, owner, external_id)."""
    reason: str | None
    """None while active; why it ended otherwise."""
    created_us: int
    last_seen_us: int
    expires_us: int
    absolute_us: int
    ended_us: int | None
    version: int
    """Grows by one per save of data, and by nothing else; 1 when new."""
    generation: int
    """Numbers the sessions of a slot; never used twice."""
    token_hash: bytes
    previous_hash: bytes | None
    """The hash of the token before the last rotation, honoured until `previous_until_us`."""
    previous_until_us: int | None
    touch_us: int
    data: str
    """A JSON object as text."""
