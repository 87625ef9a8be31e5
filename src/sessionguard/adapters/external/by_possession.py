"""`Bearer`: whoever has the id has the session."""

from sessionguard.adapters.external.identifiers import is_server_id, owner_of, required_unguessable
from sessionguard.adapters.external.naming import Opened
from sessionguard.adapters.external.policies import Bearer
from sessionguard.adapters.external.situation import Situation
from sessionguard.adapters.visits.calls import Flow
from sessionguard.core.session import Session

_KIND = "bearer"


class ByPossession:
    """Nothing is asked but the id. Responses keep it from other sites, and the session is soon over."""

    __slots__ = ("_policy", "_situation")

    def __init__(self, situation: Situation, policy: Bearer) -> None:
        self._situation = situation
        self._policy = policy
        # Last: of several, browsers obey the last that they know.
        situation.reply_with(("Referrer-Policy", "no-referrer"))

    def find(self, selected: str) -> Flow[Session]:
        session = yield from self._situation.used((yield from self.locate(selected)))
        if session is None:
            raise self._situation.unknown(selected)
        return self._situation.accepted(session)

    def locate(self, selected: str) -> Flow[Session | None]:
        if is_server_id(selected):
            session = yield from self._situation.get(selected)
            # Ids of the server are in logs: they lead to no session that was opened under another policy.
            if session is not None and not session.owner.startswith(f"{_KIND}-"):
                return None
        else:
            required_unguessable(self._situation.ids.parameter, selected)
            session = yield from self._situation.listed_of_slot(owner_of(_KIND, selected), selected)
        if session is not None and self._situation.ids.clock() >= session.created_at + self._policy.lifetime:
            yield from self._situation.end(session, "bearer-lifetime")
            return None
        return session

    def open(self, selected: str | None) -> Flow[Opened]:
        situation = self._situation
        former = None if selected is None else (yield from self.locate(selected))
        if selected is None or is_server_id(selected):
            if selected is not None and former is None:
                situation.reject(selected, "not taken")
            ended = None if former is None else (yield from situation.end(former, "replaced"))
            session = yield from situation.open("create", f"{_KIND}-unnamed")
            return Opened.after(situation.accepted(session), ended)
        session = yield from situation.open("replace", owner_of(_KIND, selected), selected)
        return Opened(situation.accepted(session), session.removed)

    def own(self) -> Flow[tuple[Session, ...]]:
        """Give the one that the request names: the possession of an id shows nothing of others."""
        selected = self._situation.asked().selected
        session = None if selected is None else (yield from self.locate(selected))
        return () if session is None else (session,)

    def forget(self, selected: str) -> None:
        """No browser was bound to it."""
