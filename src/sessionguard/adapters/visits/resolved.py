"""Which sessions a request has resolved: the same question gets the same session, and another one is noticed."""

from sessionguard import context
from sessionguard.core.events import ContextLost, Event, SessionCreated, SessionReused
from sessionguard.core.session import Session

_Slot = tuple[str, str, str | None]


class ResolvedSessions:
    """The sessions that one request goes on with: the visitor's, and one for each slot it asked for."""

    __slots__ = ("_by_slot", "_visitor")

    def __init__(self) -> None:
        self._visitor: Session | None = None
        self._by_slot: dict[_Slot, Session] = {}

    def note(self, session: Session) -> None:
        """Go on with `session`."""
        if session.exclusive:
            self._by_slot[session.scope, session.owner, session.external_id] = session
        else:
            self._visitor = session

    def drop(self, session: Session) -> None:
        """Go on without `session`, which is over: who asks for its slot is given another one."""
        slot = session.scope, session.owner, session.external_id
        known = self._by_slot.get(slot)
        if known is not None and known.id == session.id:
            del self._by_slot[slot]

    def forget(self) -> None:
        """Go on with none."""
        self._visitor = None
        self._by_slot.clear()

    def of_slot(self, scope: str, owner: str, external_id: str | None) -> Session | None:
        """Give the session that this request found in the slot, or None if it has not asked yet."""
        return self._by_slot.get((scope, owner, external_id))

    def lost(self, expected_id: str, found_id: str | None) -> ContextLost:
        """Give the event that tells of `found_id` where `expected_id` was carried."""
        visitor = self._visitor
        return ContextLost(expected_id, found_id, None if visitor is None else visitor.owner)

    def contradicted_by(self, event: SessionCreated | SessionReused) -> ContextLost | None:
        """Give what to tell if the guard was asked again, past the visit, and gave another session for one slot."""
        known = self._by_slot.get((event.scope, event.owner, event.external_id))
        if known is None or known.id == event.session_id:
            return None
        return ContextLost(known.id, event.session_id, event.owner)


def told_of(event: Event) -> ContextLost | None:
    """Give what `event`, published while a request is handled in this context, means for what the request resolved."""
    if not isinstance(event, SessionCreated | SessionReused) or getattr(event, "verb", None) == "create":
        return None
    resolved = context.current_holder()
    return resolved.contradicted_by(event) if isinstance(resolved, ResolvedSessions) else None
