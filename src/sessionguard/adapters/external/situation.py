"""One request that may name a session: what it carries, who sends it, and what every policy asks of the guard."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import field, frozen

from sessionguard.adapters.external.identifiers import fingerprint
from sessionguard.adapters.external.reading import Asked, Carried, asked_by
from sessionguard.adapters.external.rules import ExternalIds
from sessionguard.adapters.http import Header
from sessionguard.adapters.http.origins import foreign_origin
from sessionguard.adapters.visits.calls import Flow, ask, collect, seen
from sessionguard.adapters.visits.flows import VisitFlows
from sessionguard.core.events import ExternalIdAccepted, ExternalIdRejected, TokenMisplaced
from sessionguard.core.session import Session
from sessionguard.core.tokens import is_anonymous
from sessionguard.errors import (
    ConfigurationError,
    CrossSiteError,
    ExternalIdUnknownError,
    InvalidArgumentError,
    SessionConflictError,
    SessionEndedError,
    SessionMismatchError,
    SessionSealedError,
)

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


@frozen(repr=False, kw_only=True)
class NamingRequest:
    """What a mount gives of its framework's request."""

    method: str
    carried: Carried
    cookie_headers: tuple[bytes, ...] = ()
    header: Callable[[str], str | None] = field(default=lambda name: None)
    """Gives a request header by its name in lower case, or None."""
    caller: str | None = None
    """The authenticated owner, as `ExternalIds.caller` gave it."""

    @property
    def is_safe(self) -> bool:
        """Whether its method promises to change nothing."""
        return self.method.upper() in SAFE_METHODS

    @property
    def is_prefetch(self) -> bool:
        """Whether a browser sends it ahead of any click."""
        return any("prefetch" in (self.header(name) or "").lower() for name in ("sec-purpose", "purpose", "x-moz"))


@frozen
class Principal:
    """Whose sessions a request may name."""

    owner: str
    is_authenticated: bool
    """False for a visitor without a name, who is known by his cookie."""


class Situation:
    """A request beside the visit of its visitor, under the rules of the application."""

    __slots__ = ("_asked", "ids", "request", "visit")

    def __init__(self, ids: ExternalIds, visit: VisitFlows, request: NamingRequest) -> None:
        self.ids = ids
        self.visit = visit
        self.request = request
        self._asked: Asked | None = None

    def asked_plainly(self) -> Asked:
        """Give what the request asks for, if that may not stand where nobody looks.

        Raises:
            InvalidArgumentError: it has a body of another kind, in which a name would be overlooked; or see `asked`.
        """
        if self.request.carried.is_opaque:
            kind = self.request.carried.content_type or "(none)"
            raise InvalidArgumentError("Content-Type", kind, "send a form or JSON with a length, or no body")
        return self.asked()

    def asked(self) -> Asked:
        """Give what the request asks for; the response depends on it from now on.

        Raises:
            InvalidArgumentError: it asks for several sessions, or for one that cannot be.
            SessionSealedError: the response is on its way, and could neither bind a browser nor be kept from caches.
        """
        if self.visit.is_barred or self.visit.is_sealed:
            raise SessionSealedError(None)
        self.visit.is_used = True
        if self._asked is None:
            self._asked = asked_by(self.request.carried, self.ids.parameter, self.ids.signature)
            for place in self._asked.misplaced:
                self.visit.rules.guard.publish(TokenMisplaced(place))
        return self._asked

    # Who it is

    def principal(self) -> Flow[Principal | None]:
        """Give whose sessions the request may name; None for a stranger. Nothing is opened.

        Raises:
            SessionMismatchError: it authenticates one owner, and its cookie is of another.
        """
        visitor: Session | None = yield from self.visit.session()
        caller = self.request.caller
        if caller is None:
            return None if visitor is None else Principal(visitor.owner, not is_anonymous(visitor.owner))
        if visitor is not None and visitor.owner != caller and not is_anonymous(visitor.owner):
            raise SessionMismatchError(visitor.id, None)
        return Principal(caller, is_authenticated=True)

    def required_principal(self) -> Flow[Principal]:
        """Give whose session is to be opened; a stranger becomes a visitor without a name, known by a cookie.

        Raises:
            SessionEndedError: somebody has logged in with the visitor's session since this request loaded it.
        """
        principal = yield from self.principal()
        if principal is not None and principal.is_authenticated:
            return principal
        visitor: Session = yield from self.visit.opened()
        if not visitor.is_new:
            # Of the former owner, what is opened would be found by nobody.
            yield from self.visit.check_still_ours(visitor)
        return Principal(visitor.owner, is_authenticated=False)

    def check_same_site(self) -> None:
        """Refuse what another site's page has a browser send.

        Raises:
            CrossSiteError: a page sent the request that is neither ours nor trusted.
        """
        origin = foreign_origin(self.request.header, self.ids.trusted_origins)
        if origin is not None:
            raise CrossSiteError(origin)

    # What is asked of the guard

    def load(self, token: str, *, extend: bool = False) -> Flow[Session | None]:
        """Give the active session of `token`; with `extend` it is in use, not only looked at."""
        session: Session | None = yield from ask("load", token, scope=self.ids.scope, extend=extend)
        return session

    def get(self, session_id: str) -> Flow[Session | None]:
        """Give the active session with this id, whoever's it is; those of visitors are not there."""
        session: Session | None = yield from ask("get", session_id)
        return session if session is not None and self._is_ours(session) else None

    def _is_ours(self, session: Session) -> bool:
        return session.status == "active" and session.scope == self.ids.scope

    def listed(self, owner: str) -> Flow[tuple[Session, ...]]:
        """Give the active sessions of `owner`, newest first."""
        return (yield from collect("sessions", scope=self.ids.scope, owner=owner))

    def listed_of_slot(self, owner: str, external_id: str) -> Flow[Session | None]:
        """Give the active session of the slot without opening one."""
        sessions = yield from self.listed(owner)
        return next((session for session in sessions if session.external_id == external_id), None)

    def used(self, session: Session | None) -> Flow[Session | None]:
        """Give `session` as one that is in use, if it still can be; what was only looked at lives no longer for it."""
        return None if session is None else (yield from seen(session))

    def open(
        self,
        verb: str,
        owner: str | None,
        external_id: str | None = None,
        scope: str | None = None,
        data: Mapping[str, str] | None = None,
    ) -> Flow[Session]:
        """Have the guard open a session by `verb`, with `data` if it is new; its token stays here."""
        options: dict[str, Any] = {} if external_id is None else {"external_id": external_id}
        if data:
            options["data"] = data
        scope = scope or self.ids.scope
        try:
            session: Session = yield from ask(verb, owner, scope=scope, **options)
        except InvalidArgumentError as error:
            if error.argument != "scope":
                raise
            # Not the client's fault: the program's policy says nothing about sessions that are named.
            raise ConfigurationError(
                "policy", scope, f'give the mapping an entry for it, or for "*" ({error})'
            ) from None
        return session

    def marked(self, session: Session, marks: Mapping[str, str]) -> Flow[Session | None]:
        """Give `session` with `marks` among its fields; None if it has changed or ended since it was read."""
        try:
            found: Session = yield from ask("save", session, marks, expected_version=session.version)
        except (SessionConflictError, SessionEndedError):
            return None
        return found

    def rotate(self, session: Session) -> Flow[Session]:
        """Give `session` with a new token; None as its token if another rotation came first."""
        rotated: Session = yield from ask("rotate", session)
        return rotated

    def end(self, session: Session, reason: str) -> Flow[Session | None]:
        """End `session`; None if it was over before."""
        ended: Session | None = yield from ask("end", session, reason)
        self.visit.resolved.drop(session)
        return ended

    # What is told

    def reply_with(self, header: Header) -> None:
        """Have the response carry `header`, whatever it says."""
        self.visit.further_headers += (header,)

    def accepted(self, session: Session) -> Session:
        """Give `session`, and tell that it was given."""
        self.visit.rules.guard.publish(ExternalIdAccepted(self.ids.policy.name, session.id))
        return session

    def reject(self, selected: str, reason: str) -> str:
        """Tell that `selected` was not taken; gives what stands for it."""
        mark = fingerprint(selected)
        self.visit.rules.guard.publish(ExternalIdRejected(reason, mark))
        return mark

    def unknown(self, selected: str) -> ExternalIdUnknownError:
        """Give the one error for every name that leads to nothing."""
        return ExternalIdUnknownError(self.reject(selected, "unknown"))
