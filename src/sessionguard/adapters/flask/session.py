"""`flask.session`: a mapping that is loaded at its first use and knows which top-level fields were changed."""

from collections.abc import Iterator
from typing import Any, Final

from flask.sessions import SessionMixin

from sessionguard.adapters.flask.values import changed, untagged
from sessionguard.adapters.visit import Visit
from sessionguard.core.session import Session, private_copy
from sessionguard.errors import SessionSealedError

_CONTAINERS: Final = (dict, list)


class GuardedSession(SessionMixin):
    """The data of the visitor's session. Values changed in place are noticed without `modified`.

    Writing to it after the response was sent raises `SessionSealedError`.
    """

    accessed = False
    """Whether the response depends on the session. Flask sets it whenever `flask.session` is used at all."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self._base: Session | None = None
        self._stored: dict[str, Any] = {}
        self._fields: dict[str, Any] | None = None
        # The fields whose values the application has written, or holds and may have changed in place.
        self._held: set[str] = set()
        self._modified = False
        self._is_discarded = False

    # The mapping

    def __getitem__(self, name: str) -> Any:
        fields = self._loaded()
        value = fields[name]
        if isinstance(value, _CONTAINERS) and name not in self._held:
            value = fields[name] = untagged(value)
            self._held.add(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self._change()[name] = value
        self._held.add(name)

    def __delitem__(self, name: str) -> None:
        del self._change()[name]
        self._held.discard(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def __contains__(self, name: object) -> bool:
        return name in self._loaded()

    def copy(self) -> dict[str, Any]:
        """Give the data as a plain dictionary."""
        return dict(self)

    def __repr__(self) -> str:
        if self._fields is None:
            return "<GuardedSession, not loaded>"
        return f"<GuardedSession {self._base.id if self._base else 'none'} fields={sorted(self._fields)}>"

    # What Flask's users ask of a session

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Whether the visitor came without a session."""
        self._loaded()
        return self._base is None or self._base.is_new

    @property
    def modified(self) -> bool:
        """Whether fields were written. Setting it to False discards what this request changed."""
        return self._modified

    @modified.setter
    def modified(self, value: bool) -> None:
        if value:
            self._change()
        self._modified = bool(value)
        self._is_discarded = not value

    # What the adapter asks

    def changes(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Give the changed fields, as they are to be stored, and the names of the removed ones."""
        fields = self._fields
        if fields is None or self._is_discarded:
            return {}, ()
        if not self._held and len(fields) == len(self._stored):
            # Whatever was added is held, so nothing was removed either: the way of every request that only reads.
            return {}, ()
        removed = tuple(name for name in self._stored if name not in fields)
        return changed(self._stored, {name: fields[name] for name in self._held}), removed

    def save(self) -> None:
        """Store what was changed; a visitor without a session gets one if there is something to keep."""
        changes, removed = self.changes()
        self.visit.save(changes, removed, version=None if self._base is None else self._base.version)
        if "_permanent" in changes or "_permanent" in removed:
            # The browser is to keep the cookie for another time. A new token, because sending the same one again
            # could undo a rotation that has happened since.
            self.visit.rotate()

    def opened(self) -> Session:
        """Give the visitor's session; without one, open one that holds what was written so far."""
        session = self.visit.session()
        if session is None:
            session = self.visit.opened(self.changes()[0])
            self._rest_on(session)
        return session

    def login(self, owner: str) -> Session:
        """Make the session that of `owner`; data of another owner is gone from it."""
        session = self.visit.login(owner, self.changes()[0])
        if self._fields is not None and (self._base is None or session.id != self._base.id):
            self._rest_on(session)
        return session

    def logout(self) -> Session | None:
        """End the session; what is written afterwards goes to a new one."""
        ended = self.visit.logout()
        self._base, self._stored, self._fields = None, {}, {}
        self._held.clear()
        return ended

    def _rest_on(self, session: Session) -> None:
        self._base, self._stored = session, private_copy(session)
        # What the application holds of the former fields is not carried into another session.
        self._fields = {name: (self._fields or {}).get(name, value) for name, value in self._stored.items()}
        self._held &= self._stored.keys()

    def _loaded(self) -> dict[str, Any]:
        fields = self._fields
        if fields is None:
            self.accessed = True
            self._base = session = self.visit.session()
            if session is not None:
                self._stored = private_copy(session)
            fields = self._fields = dict(self._stored)
        return fields

    def _change(self) -> dict[str, Any]:
        if self.visit.is_sealed:
            raise SessionSealedError(None if self._base is None else self._base.id)
        fields = self._loaded()
        self._modified, self._is_discarded = True, False
        return fields
