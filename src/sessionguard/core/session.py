"""`Session`: what callers hold of a session, at the instant they got it."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from sessionguard.core.commands import Status
from sessionguard.core.data import decode
from sessionguard.core.instants import from_us
from sessionguard.core.records import SessionRecord
from sessionguard.errors import StoreDataError


@frozen
class Removed:
    """What became of the files of an ended session."""

    files: int = 0
    bytes: int = 0
    deferred: bool = False
    """The workspace is still there. It is in use, and removed when its last lease is gone, or else that `failed`."""
    failed: bool = False
    """It could not be removed, which the event `CleanupFailed` explains; the next pass of a sweep tries again."""


NOTHING_REMOVED: Final = Removed()

HIDDEN: Final = "_sessionguard_hidden_"
"""Fields whose names begin so are this library's own: `data` shows none of them, and no `modify` changes any."""


class Session:
    """One session as it was when it was read; it does not change, calls that change something give a new one.

    `id` is the public handle: safe in logs, paths and lists, it authorises nothing. `token` is the secret
    for the client; only the call that made it has it, everywhere else it is None.
    """

    __slots__ = ("_data", "_in_grace", "_is_new", "_record", "_removed", "_token")

    def __init__(
        self,
        record: SessionRecord,
        *,
        token: str | None = None,
        is_new: bool = False,
        in_grace: bool = False,
        removed: Removed = NOTHING_REMOVED,
    ) -> None:
        self._record = record
        self._data: Mapping[str, Any] | None = None
        self._in_grace = in_grace
        self._token = token
        self._is_new = is_new
        self._removed = removed

    @property
    def token(self) -> str | None:
        """The secret for the client, right after it was made; None otherwise."""
        return self._token

    @property
    def is_new(self) -> bool:
        """Whether this call opened the session."""
        return self._is_new

    @property
    def removed(self) -> Removed:
        """What became of files: with `end` its own, with `replace` and `get_or_create` those of whom it came after."""
        return self._removed

    @property
    def id(self) -> str:
        """The server-issued handle, stable for life and never reused."""
        return self._record.id

    @property
    def scope(self) -> str:
        """What kind of session it is."""
        return self._record.scope

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self._record.owner

    @property
    def external_id(self) -> str | None:
        """The integrator's own name for it, if it was opened with one."""
        return self._record.external_id

    @property
    def exclusive(self) -> bool:
        """Whether it is the one session of its slot."""
        return self._record.exclusive

    @property
    def status(self) -> Status:
        """Whether it was active or ended when it was read."""
        return "active" if self._record.reason is None else "ended"

    @property
    def reason(self) -> str | None:
        """Why it ended; None while active."""
        return self._record.reason

    @property
    def created_at(self) -> datetime:
        """When it was opened."""
        return from_us(self._record.created_us)

    @property
    def last_seen_at(self) -> datetime:
        """When it was last written down that it was seen."""
        return from_us(self._record.last_seen_us)

    @property
    def expires_at(self) -> datetime:
        """From when on it is expired if it is not touched before."""
        return from_us(self._record.expires_us)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None while active."""
        return None if self._record.ended_us is None else from_us(self._record.ended_us)

    @property
    def version(self) -> int:
        """Grows by one with every save of data."""
        return self._record.version

    @property
    def generation(self) -> int:
        """Numbers the sessions of its slot."""
        return self._record.generation

    @property
    def data(self) -> Mapping[str, Any]:
        """The data, read-only at the top and private to this object: changing nested values changes nothing stored."""
        if self._data is None:
            self._data = MappingProxyType(private_copy(self))
        return self._data

    def __repr__(self) -> str:
        record = self._record
        state = "active" if record.reason is None else f"ended ({record.reason})"
        return f"<Session {record.id} scope={record.scope!a} {state} version={record.version}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles carry no secret: the token stays with the object that the call gave.
        return _without_token, (self._record, self._is_new, self._in_grace, self._removed)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Session):
            return NotImplemented
        return self._record == other._record and self._token == other._token

    def __hash__(self) -> int:
        return hash(self._record.id)


def _without_token(record: SessionRecord, is_new: bool, in_grace: bool, removed: Removed) -> Session:
    return Session(record, is_new=is_new, in_grace=in_grace, removed=removed)


def record_of(session: Session) -> SessionRecord:
    """Give the record behind `session`; for this library's own parts."""
    return session._record


def with_removed(session: Session, removed: Removed) -> Session:
    """Give `session` as the caller gets it, with what became of the files of a session in whose place it came."""
    before = session._removed
    return Session(
        session._record,
        token=session._token,
        is_new=session._is_new,
        in_grace=session._in_grace,
        removed=Removed(
            before.files + removed.files,
            before.bytes + removed.bytes,
            before.deferred or removed.deferred,
            before.failed or removed.failed,
        ),
    )


def private_copy(session: Session) -> dict[str, Any]:
    """Give the data of `session`, without what is hidden in it, as a mapping that the caller may change."""
    data = _decoded(session)
    if HIDDEN in session._record.data:
        # Nor does a `modify` that gives all of the data anew take it away: it removes what it was shown.
        data = {name: value for name, value in data.items() if not name.startswith(HIDDEN)}
    return data


def hidden_field(session: Session, name: str) -> Any:
    """Give the field `name`, which begins with `HIDDEN`; None if there is none."""
    return _decoded(session).get(name) if name in session._record.data else None


def _decoded(session: Session) -> dict[str, Any]:
    try:
        return decode(session._record.data)
    except ValueError as error:
        problem = f"the data of session {session._record.id} is not a JSON object; it was changed by other means"
        raise StoreDataError("session", "read", problem) from error


def is_in_grace(session: Session) -> bool:
    """Tell whether `session` was loaded by a token that has been rotated away."""
    return session._in_grace
