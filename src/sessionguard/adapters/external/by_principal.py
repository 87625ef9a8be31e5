"""`Strict` and `Select`: a caller names his own sessions, and nobody else's."""

from sessionguard.adapters.external.identifiers import is_server_id
from sessionguard.adapters.external.naming import Opened
from sessionguard.adapters.external.policies import Select
from sessionguard.adapters.external.situation import Principal, Situation
from sessionguard.adapters.visits.calls import Flow
from sessionguard.core.session import Session


class ByPrincipal:
    """Sessions are those of whom the request authenticates, be it a visitor without a name."""

    __slots__ = ("_select", "_situation")

    def __init__(self, situation: Situation) -> None:
        policy = situation.ids.policy
        self._situation = situation
        self._select = policy if isinstance(policy, Select) else None

    def find(self, selected: str) -> Flow[Session]:
        principal = yield from self._situation.principal()
        if principal is None:
            session = None
        elif self._may_open(principal, selected):
            session = yield from self._opened_on_use(principal, selected)
        else:
            session = yield from self._situation.used((yield from self._located(principal, selected)))
        if session is None:
            raise self._situation.unknown(selected)
        return self._situation.accepted(session)

    def locate(self, selected: str) -> Flow[Session | None]:
        principal = yield from self._situation.principal()
        return None if principal is None else (yield from self._located(principal, selected))

    def open(self, selected: str | None) -> Flow[Opened]:
        situation = self._situation
        principal = yield from situation.required_principal()
        if selected is None:
            return Opened((yield from situation.open("create", principal.owner)))
        if self._select is not None and not is_server_id(selected):
            session = yield from situation.open("replace", principal.owner, selected)
            return Opened(session, session.removed)
        former = yield from self._located(principal, selected)
        if former is None:
            situation.reject(selected, "not taken")
            return Opened((yield from situation.open("create", principal.owner)))
        ended = yield from situation.end(former, "replaced")
        return Opened.after((yield from situation.open("create", principal.owner)), ended)

    def own(self) -> Flow[tuple[Session, ...]]:
        principal = yield from self._situation.principal()
        return () if principal is None else (yield from self._situation.listed(principal.owner))

    def forget(self, selected: str) -> None:
        """Nothing binds the browser but the visitor's own cookie."""

    def _may_open(self, principal: Principal, selected: str) -> bool:
        return (
            self._select is not None
            and self._select.creates_on_use
            and principal.is_authenticated
            and not is_server_id(selected)
            and not self._situation.request.is_prefetch
        )

    def _opened_on_use(self, principal: Principal, selected: str) -> Flow[Session]:
        situation = self._situation
        if not situation.request.is_safe:
            situation.check_same_site()
        return (yield from situation.visit.of_slot(principal.owner, scope=situation.ids.scope, external_id=selected))

    def _located(self, principal: Principal, selected: str) -> Flow[Session | None]:
        if is_server_id(selected):
            session = yield from self._situation.get(selected)
            return session if session is not None and session.owner == principal.owner else None
        if self._select is None:
            return None
        return (yield from self._situation.listed_of_slot(principal.owner, selected))
