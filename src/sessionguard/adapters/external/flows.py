"""The session protocol: open, use, look at and clear a session that another program names."""

from typing import Final

from sessionguard.adapters.external import replies
from sessionguard.adapters.external.by_binding import ByClaim, BySignature
from sessionguard.adapters.external.by_possession import ByPossession
from sessionguard.adapters.external.by_principal import ByPrincipal
from sessionguard.adapters.external.naming import Naming
from sessionguard.adapters.external.policies import Bearer, Claim, Signed
from sessionguard.adapters.external.replies import Reply
from sessionguard.adapters.external.rules import ExternalIds
from sessionguard.adapters.external.situation import NamingRequest, Situation
from sessionguard.adapters.visits.calls import Flow
from sessionguard.adapters.visits.flows import VisitFlows
from sessionguard.core.session import Session
from sessionguard.errors import InvalidArgumentError, SessionGuardError

CLEARED: Final = "cleared"
"""Why a session ended that `clear-session` ended."""


class ExternalFlows:
    """What one request does with the session that it names. Not for use by two threads at once."""

    __slots__ = ("_failure", "_is_found", "_naming", "_session", "_situation")

    def __init__(self, ids: ExternalIds, visit: VisitFlows, request: NamingRequest) -> None:
        self._situation = Situation(ids, visit, request)
        self._naming = _naming_of(self._situation)
        self._session: Session | None = None
        self._failure: SessionGuardError | None = None
        self._is_found = False

    def session(self) -> Flow[Session | None]:
        """Give the session that the request names, or None if it names none. The store is asked once.

        Raises:
            InvalidArgumentError: it names several, or one that cannot be.
            ExternalIdError: it may not have the one it names.
            SessionMismatchError: it belongs to another session or owner.
        """
        if not self._is_found:
            try:
                self._session = yield from self._find()
            except SessionGuardError as error:
                self._failure = error
            self._is_found = True
        if self._failure is not None:
            raise self._failure
        return self._session

    def _find(self) -> Flow[Session | None]:
        selected = self._situation.asked().selected
        return None if selected is None else (yield from self._naming.find(selected))

    def new_session(self) -> Flow[Reply]:
        """Open a session: under the name that the request gives, in the place of the one that had it, or without."""
        self._situation.check_same_site()
        found = yield from self._naming.open(self._situation.asked_plainly().selected)
        self._session, self._failure, self._is_found = found.session, None, True
        return replies.opened(self._situation.ids.policy, found)

    def clear_session(self) -> Flow[Reply]:
        """End the session that the request names, with its files, and no other; doing so twice is fine.

        Raises:
            InvalidArgumentError: it names none.
        """
        situation = self._situation
        situation.check_same_site()
        selected = situation.asked_plainly().selected
        if selected is None:
            raise InvalidArgumentError(situation.ids.parameter, None, "name the session to clear")
        session = yield from self._naming.locate(selected)
        ended = None if session is None else (yield from situation.end(session, CLEARED))
        if session is not None:
            self._naming.forget(selected)
        self._session, self._failure, self._is_found = None, None, True
        return replies.cleared(selected, ended)

    def debug_sessions(self) -> Flow[Reply]:
        """Show the caller's sessions; opens nothing. Whether it may be asked for is for the mount to find out."""
        selected = self._situation.asked().selected
        current = None if selected is None else (yield from self._naming.locate(selected))
        own = yield from self._naming.own()
        return replies.debugged(self._situation.ids, current, own)


def _naming_of(situation: Situation) -> Naming:
    policy = situation.ids.policy
    if isinstance(policy, Signed):
        return BySignature(situation, policy)
    if isinstance(policy, Claim):
        return ByClaim(situation)
    if isinstance(policy, Bearer):
        return ByPossession(situation, policy)
    return ByPrincipal(situation)
