"""`Signed` and `Claim`: a browser is bound by a cookie to each session that it was admitted to."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from sessionguard.adapters.external.bindings import MOST, Bindings
from sessionguard.adapters.external.identifiers import fingerprint, is_server_id, owner_of, required_unguessable
from sessionguard.adapters.external.naming import Opened
from sessionguard.adapters.external.policies import Signed
from sessionguard.adapters.external.rules import NONCE_SCOPE
from sessionguard.adapters.external.signing import Vouched, vouched_by
from sessionguard.adapters.external.situation import Situation
from sessionguard.adapters.visits.calls import Flow
from sessionguard.core.session import HIDDEN, Session, hidden_field
from sessionguard.core.tokens import is_anonymous
from sessionguard.errors import (
    ConfigurationError,
    ExternalIdClaimedError,
    ExternalIdRefusedError,
    SessionMismatchError,
)

_CLAIMED: Final = "claimed"
CLAIMANT: Final = f"{HIDDEN}claimant"
"""The field of a claimed session that stands for who was the first to have it with a name."""
_MOST_MARKINGS: Final = 10


class ByBinding(ABC):
    """What both have in common: the cookie, which is asked first."""

    __slots__ = ("_bindings", "_situation")

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._bindings = Bindings.beside(situation.visit.rules.transport)

    def locate(self, selected: str, *, extend: bool = False) -> Flow[Session | None]:
        """Give the session to which the browser is bound under this name."""
        token = self._bindings.read(selected, self._cookies).token
        session = None if token is None else (yield from self._situation.load(token, extend=extend))
        if session is None:
            return None
        if selected != (session.external_id or session.id):
            self._situation.reject(selected, "mismatch")
            raise SessionMismatchError(session.id, None)
        yield from self._check_visitor(session, selected)
        return session

    @property
    def _cookies(self) -> tuple[bytes, ...]:
        # Who has left in this very request is bound to nothing any more, and who came after him not yet.
        return () if self._situation.visit.is_unbound else self._situation.request.cookie_headers

    @abstractmethod
    def _is_of(self, session: Session, owner: str) -> bool:
        """Tell whether `owner`, who is logged in, may go on with `session`."""

    def _check_visitor(self, session: Session, selected: str) -> Flow[None]:
        """Nobody goes on with the session of whoever used this browser before."""
        present = yield from self._present()
        if not all(self._is_of(session, owner) for owner in present):
            raise self._mismatch(selected)

    def _present(self) -> Flow[tuple[str, ...]]:
        """Give who is logged in in this browser, and who calls."""
        visitor = yield from self._situation.visit.session()
        logged_in = None if visitor is None or is_anonymous(visitor.owner) else visitor.owner
        return tuple(owner for owner in (logged_in, self._situation.request.caller) if owner is not None)

    def _mismatch(self, selected: str) -> SessionMismatchError:
        visitor = self._situation.visit.found
        return SessionMismatchError(
            self._situation.reject(selected, "mismatch"), None if visitor is None else visitor.id
        )

    def own(self) -> Flow[tuple[Session, ...]]:
        """Give the sessions to which this browser is bound."""
        found: list[Session] = []
        present = yield from self._present()
        for cookie in self._bindings.all(self._cookies)[:MOST]:
            token = cookie.read(self._cookies).token
            session = None if token is None else (yield from self._situation.load(token))
            if session is not None and all(self._is_of(session, owner) for owner in present):
                found.append(session)
        return tuple(sorted(found, key=lambda session: session.created_at, reverse=True))

    def forget(self, selected: str) -> None:
        self._situation.reply_with(self._bindings.of(selected).taking_back())

    def _make_room(self, selected: str) -> Flow[None]:
        """Have the browser forget sessions that are over, if it holds too many.

        Raises:
            ExternalIdRefusedError: it holds too many that are not.
        """
        situation = self._situation
        headers = self._cookies
        held = self._bindings.all(headers)
        if len(held) < MOST or self._bindings.of(selected) in held:
            return
        dead = 0
        for cookie in held:
            token = cookie.read(headers).token
            if token is None or (yield from situation.load(token)) is None:
                situation.reply_with(cookie.taking_back())
                dead += 1
        if not dead:
            problem = f"this browser has {len(held)} sessions already; clear one first"
            raise ExternalIdRefusedError(situation.reject(selected, "too many"), problem)

    def _bind(self, session: Session) -> Session:
        selected = session.external_id or session.id
        if session.token is None:
            # Somebody else opened it, or was admitted by another signature at the same instant.
            raise ExternalIdClaimedError(self._situation.reject(selected, _CLAIMED))
        self._situation.reply_with(self._bindings.of(selected).handing_out(session.token, None))
        return session


class BySignature(ByBinding):
    """`Signed`: the integrator's server admits a browser once; whom it belongs to is what that server says."""

    __slots__ = ("_policy",)

    def __init__(self, situation: Situation, policy: Signed) -> None:
        super().__init__(situation)
        self._policy = policy

    def find(self, selected: str) -> Flow[Session]:
        situation = self._situation
        self._keep_to_this_site()
        session = yield from self.locate(selected, extend=True)
        if session is not None:
            return situation.accepted(session)
        if situation.asked().signature is None or situation.request.is_prefetch:
            raise situation.unknown(selected)
        vouched = yield from self._admitted(selected)
        session = yield from situation.open("get_or_create", vouched.owner, selected)
        if not session.is_new:
            # Another browser of the same user was bound to it; the newer signature moves it here.
            session = yield from situation.rotate(session)
        return situation.accepted(self._bind(session))

    def _keep_to_this_site(self) -> None:
        # Refused, or not needed because the browser is bound already, a signature may still be good for somebody else.
        if self._situation.asked().signature is not None:
            self._situation.reply_with(("Referrer-Policy", "no-referrer"))

    def open(self, selected: str | None) -> Flow[Opened]:
        situation = self._situation
        self._keep_to_this_site()
        if selected is None or is_server_id(selected):
            raise ExternalIdRefusedError(
                fingerprint(selected or ""), "the integrator's server names the session, and signs the name"
            )
        if situation.asked().signature is None:
            bound = yield from self.locate(selected)
            if bound is None:
                raise ExternalIdRefusedError(situation.reject(selected, "no signature"), "it has no signature")
            owner = bound.owner
        else:
            owner = (yield from self._admitted(selected)).owner
        session = yield from situation.open("replace", owner, selected)
        return Opened(self._bind(session), session.removed)

    def _admitted(self, selected: str) -> Flow[Vouched]:
        """Give what the signature says, which was never used before and never is again."""
        situation, policy = self._situation, self._policy
        now = situation.ids.clock()
        vouched = vouched_by(
            situation.asked().signature or "",
            selected,
            keys=policy.keys,
            audience=policy.audience,
            scope=situation.ids.scope,
            now=now,
        )
        if isinstance(vouched, str):
            raise ExternalIdRefusedError(situation.reject(selected, vouched), vouched)
        if not {vouched.owner}.issuperset((yield from self._present())):
            raise self._mismatch(selected)
        yield from self._make_room(selected)
        yield from self._use_up(vouched, selected)
        return vouched

    def _use_up(self, vouched: Vouched, selected: str) -> Flow[None]:
        # A slot is opened by exactly one of all who ask for it, on every store and machine.
        mark = yield from self._situation.open(
            "get_or_create", f"{vouched.key_id}-{vouched.nonce}", vouched.nonce, NONCE_SCOPE
        )
        # Not in a second generation either: the first may have been ended by hand.
        if not mark.is_new or mark.generation != 1:
            raise ExternalIdRefusedError(self._situation.reject(selected, "replayed"), "the signature was used before")
        if mark.expires_at < vouched.expires_at:
            remedy = f"give {NONCE_SCOPE} a policy with an idle timeout above five minutes"
            raise ConfigurationError("policy", f"{mark.expires_at - mark.created_at}", remedy)

    def _is_of(self, session: Session, owner: str) -> bool:
        return session.owner == owner


class ByClaim(ByBinding):
    """`Claim`: all who present a name compete for one slot; who opens it has it."""

    __slots__ = ()

    def find(self, selected: str) -> Flow[Session]:
        session = yield from self.locate(selected, extend=True)
        if session is not None and _claimant_of(session) is None:
            session = yield from self._had_by_its_first(session, selected)
        if session is None:
            raise self._situation.unknown(selected)
        return self._situation.accepted(session)

    def _had_by_its_first(self, session: Session, selected: str) -> Flow[Session | None]:
        """Give `session`, which nobody had with a name yet, as that of who has it now, if he has one."""
        claimant = yield from self._claimant()
        found: Session | None = session
        for _ in range(_MOST_MARKINGS if claimant else 0):
            if found is None or _claimant_of(found) is not None:
                break
            marked = yield from self._situation.marked(found, claimant)
            if marked is not None:
                return marked
            # Something else was stored meanwhile, perhaps that somebody else has it.
            found = yield from self.locate(selected)
        return found

    def locate(self, selected: str, *, extend: bool = False) -> Flow[Session | None]:
        situation = self._situation
        if is_server_id(selected):
            return (yield from super().locate(selected, extend=extend))
        required_unguessable(situation.ids.parameter, selected)
        session = yield from super().locate(selected, extend=extend)
        if session is None:
            others = yield from situation.listed_of_slot(owner_of(_CLAIMED, selected), selected)
            if others is not None:
                raise ExternalIdClaimedError(situation.reject(selected, _CLAIMED))
        return session

    def _is_of(self, session: Session, owner: str) -> bool:
        # Claimed before anybody was logged in, it is that of the first who logs in and goes on with it.
        return _claimant_of(session) in {None, fingerprint(owner)}

    def _claimant(self) -> Flow[Mapping[str, str]]:
        principal = yield from self._situation.principal()
        if principal is None or not principal.is_authenticated:
            return {}
        # Not the owner himself, who is none of an operator's business that looks at the store.
        return {CLAIMANT: fingerprint(principal.owner)}

    def open(self, selected: str | None) -> Flow[Opened]:
        situation = self._situation
        if selected is not None and not is_server_id(selected):
            required_unguessable(situation.ids.parameter, selected)
        yield from self._make_room(selected or "")
        bound = None if selected is None else (yield from super().locate(selected))
        claimant = yield from self._claimant()
        # Not by `replace`: were ours over by now and claimed by another, it would be his that ends.
        former = None if bound is None else (yield from situation.end(bound, "replaced"))
        if selected is None or is_server_id(selected):
            if selected is not None and bound is None:
                situation.reject(selected, "not taken")
            elif selected is not None:
                self.forget(selected)
            session = yield from situation.open("create", None, data=claimant)
        else:
            # Without a token it is somebody else's, and nothing will be bound to it.
            slot = owner_of(_CLAIMED, selected)
            session = yield from situation.open("get_or_create", slot, selected, data=claimant)
        return Opened.after(self._bind(session), former)


def _claimant_of(session: Session) -> object:
    return hidden_field(session, CLAIMANT)
