"""One request's dealings with its session: resolved once, saved once, then sealed.

An adapter gives what the request carries and the mapping that its views write to; everything between that and the
guard is decided here, for blocking and async frameworks alike.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sessionguard.adapters import http
from sessionguard.adapters.fields import Fields
from sessionguard.adapters.modes import Mode
from sessionguard.adapters.visits.calls import Call, Enter, Flow, Leave, Make, ask, collect, seen
from sessionguard.adapters.visits.conditions import is_taken, named, refused_read_only
from sessionguard.adapters.visits.resolved import ResolvedSessions
from sessionguard.adapters.visits.rules import VisitRules
from sessionguard.adapters.visits.switching import opened_over
from sessionguard.core.arguments import valid_name
from sessionguard.core.events import CookieRefused
from sessionguard.core.session import Session
from sessionguard.core.tokens import is_anonymous
from sessionguard.core.visitors import LOGIN_REASON
from sessionguard.errors import (
    MisuseError,
    SessionEndedError,
    SessionGuardError,
    SessionMismatchError,
    SessionSealedError,
)

_log = logging.getLogger("sessionguard.adapters")

REQUEST_LOCK: Final = "request"
WORKFLOW_SCOPE: Final = "workflow"
"""The scope of sessions for one upload or workflow, unless another is named."""


class VisitFlows:
    """The session of one request, and what the request does with it. Not for use by two threads at once."""

    __slots__ = (
        "__weakref__", "_failure", "_farewell", "_lock", "_mode", "_presented", "_session", "_taken", "_token",
        "external", "fields", "further_headers", "is_barred", "is_resolved", "is_sealed", "is_unbound",
        "is_used", "resolved", "rules",
    )  # fmt: skip

    def __init__(self, rules: VisitRules, presented: Iterable[bytes]) -> None:
        """`presented` are the raw values of the request header that carries the token."""
        self.rules = rules
        self._presented = presented
        self._mode = rules.mode
        self._session: Session | None = None
        self.is_resolved = False
        """Whether the store was asked."""
        self._failure: SessionGuardError | None = None
        self._token: str | None = None
        # The visitor's session that this request knew, once it turned out that somebody has logged in with it.
        self._taken: str | None = None
        self._farewell = False
        self._lock: Any = None
        self.fields: Fields | None = None
        """What views read and write, where the framework gives them a mapping."""
        self.external: Any = None
        """What this request does with a session that it names (`sessionguard.adapters.external`)."""
        self.further_headers: tuple[http.Header, ...] = ()
        """Headers that a response which depends on the session must have besides."""
        self.resolved = ResolvedSessions()
        self.is_used = False
        """Whether the response depends on the session, be it on there being none."""
        self.is_unbound = False
        """Whether the visitor with whom the request came has left, by logout or as another logged in over him."""
        self.is_sealed = False
        self.is_barred = False
        """Whether the response is on its way to shared caches, so that the session must not be looked at any more."""

    # Finding the session

    def known(self) -> Session | None:
        """Give the session that was resolved; the response depends on it from now on.

        Raises:
            MisuseError: it was not resolved yet.
        """
        if self.is_barred:
            raise SessionSealedError(None)
        self.is_used = True
        if self._failure is not None:
            raise self._failure
        if not self.is_resolved:
            raise MisuseError("the session of this request was not resolved yet; await visit.session() first")
        return self._session

    @property
    def found(self) -> Session | None:
        """The session that was resolved or opened, for adapters: by that alone no response depends on it."""
        return self._session

    def resolve(self) -> Flow[None]:
        """Ask the store, once; an outage stays one for this request."""
        if not self.is_resolved and not self.is_barred:
            try:
                self._session = yield from self._found()
            except SessionGuardError as error:
                self._failure = error
            self.is_resolved = True
            if self._session is not None:
                self.resolved.note(self._session)

    def session(self) -> Flow[Session | None]:
        """Give the visitor's session, or None."""
        yield from self.resolve()
        return self.known()

    def opened(self) -> Flow[Session]:
        """Give the visitor's session; without one, open an anonymous one that holds what was written so far.

        Raises:
            SessionEndedError: somebody has logged in with the one that this request knew. Another one would take the
                browser's cookie from the owner.
        """
        session = yield from self.session()
        if session is None:
            self._check_open()
            self._check_not_taken()
            session = yield from self._open(None)
        return session

    def _open(self, owner: str | None) -> Flow[Session]:
        data = None if self.fields is None else self.fields.changes()[0]
        return self._hand_out((yield from ask("create", owner, scope=self.rules.scope, data=data)))

    def _found(self) -> Flow[Session | None]:
        presented = self.rules.transport.read(self._presented)
        if presented.problem is not None:
            self.rules.guard.publish(CookieRefused(presented.problem))
        if presented.token is None:
            return None
        session: Session | None = yield Call("load", (presented.token,), {"scope": self.rules.scope})
        if session is None or not self._mode.takes_turns or self.is_sealed:
            return session
        return (yield from self._alone(session, presented.token))

    def goes_on(self, session: Session, found: Session | None) -> bool:
        """Whether `found`, which the store has of `session` by now, is still what a stream may depend on."""
        return found is not None and found.status == "active" and found.owner == session.owner

    @property
    def token(self) -> str | None:
        """By what the client knows the session of this request: what it came with, or what it is about to get."""
        return self._token or self.rules.transport.read(self._presented).token

    # Taking turns

    @property
    def mode(self) -> Mode:
        """How this request treats its session."""
        return self._mode

    def enter_mode(self, mode: Mode) -> Flow[None]:
        """Go on in `mode`, as the view is marked; wait for earlier requests of the session if it takes turns."""
        self._mode = mode
        if self.fields is not None:
            self.fields.barrier = refused_read_only if mode.is_read_only else None
        if self._lock is not None and not mode.takes_turns:
            yield from self.release()
        if not self.is_resolved or self._session is None or self._lock is not None or not mode.takes_turns:
            return
        if self.fields is not None and self.fields.is_changed_or_held:
            raise MisuseError("what was written before the view began would be lost by waiting; write in the view")
        # The session was looked at before the view was known: what it holds may have changed until its turn comes.
        self._session = yield from self._alone(self._session, self.token or "")
        if self.fields is not None:
            self.fields.forget()

    @property
    def has_turn(self) -> bool:
        """Whether other requests of the session wait for this one."""
        return self._lock is not None

    def _alone(self, session: Session, token: str) -> Flow[Session | None]:
        """Wait until no other request of `session` runs, and give it as that one left it."""
        lock: Any = yield Make("lock", (session, REQUEST_LOCK), {"timeout": self.rules.lock_timeout})
        try:
            yield Enter(lock)
        except SessionEndedError as error:
            if is_taken(session, error):
                self._let_go(session)
            return None
        self._lock = lock
        # Loaded again: what was read before the lock was taken may have been changed by the one who held it.
        found: Session | None = yield from ask("load", token, scope=self.rules.scope)
        return found

    def release(self) -> Flow[None]:
        """Let the next request of the session run."""
        lock, self._lock = self._lock, None
        if lock is not None:
            try:
                yield Leave(lock)
            except SessionGuardError as error:
                # The work is done and answered; a lock that is not given back lapses by itself.
                _log.warning("a request could not give back its turn: %s", error)

    # Changing it

    @property
    def has_changes(self) -> bool:
        """Whether there may be something to store."""
        return self.fields is not None and self.fields.is_changed_or_held

    def save(self) -> Flow[None]:
        """Store what the request wrote, opening a session if it has none; nothing written stores nothing."""
        fields = self.fields
        if fields is None:
            return
        changes, removed = fields.changes()
        if not changes and not removed:
            return
        if self._mode.is_read_only and not fields.exempt.issuperset((*changes, *removed)):
            # Changed in place, which no barrier notices.
            raise refused_read_only()
        session = self.known() if self.is_resolved else (yield from self.session())
        if session is None:
            yield from self.opened()
        else:
            options = self._stored_under(session, fields.version)
            saved = yield from self._asked_of_ours(Call("save", (session, changes), {"remove": removed, **options}))
            self._session = saved
            fields.settle(saved, changes, removed)
        if not fields.renewing.isdisjoint(changes) or not fields.renewing.isdisjoint(removed):
            # A new token, because sending the same one again could undo a rotation that has happened since.
            yield from self.rotate()

    def _asked_of_ours(self, call: Call) -> Flow[Session]:
        """Give the session that `call` gives, unless somebody has logged in with it: then it is nobody's here."""
        try:
            session: Session = yield call
        except SessionEndedError as error:
            self.let_go_after(error)
            raise
        return session

    def let_go_after(self, error: SessionEndedError) -> None:
        """Go on with no session if `error` says that the visitor's is its owner's by now."""
        session = self._session
        # Who has logged in himself may be told the same of the session as he knew it, and keeps his.
        if session is not None and is_taken(session, error):
            self._let_go(session)

    def _let_go(self, session: Session) -> None:
        """Go on with no session and with nothing of it, for somebody has logged in with `session`.

        Nor is one opened, be it for an error page that writes: its cookie would take the place of the owner's.
        """
        self._session = self._token = None
        self._taken = session.id
        if self.fields is not None:
            self.fields.empty()
            self.fields.discard()

    def check_still_ours(self, session: Session) -> Flow[None]:
        """Ask whether the anonymous `session` is the visitor's still, where what follows would not find out itself.

        Raises:
            SessionEndedError: somebody has logged in with it.
        """
        stored: Session | None = yield from ask("get", session.id)
        if stored is not None and stored.owner != session.owner:
            self._let_go(session)
            self._check_not_taken()

    def _check_not_taken(self) -> None:
        if self._taken is not None:
            raise SessionEndedError(self._taken, LOGIN_REASON)

    def _stored_under(self, session: Session, version: int | None) -> dict[str, Any]:
        """Give the conditions under which what this request wrote into `session` may be stored."""
        lock = self._lock
        if lock is not None:
            # Stopped for longer than a lease, this request is not alone any more: what it read may have changed.
            lock.check()
            if lock.session_id != session.id:
                # It has logged in as another owner, and of the session opened for that no other request knows yet.
                lock = None
        # With the lock, for the request may be stopped after the check, too.
        return {"expected_version": version if self._mode.concurrency == "strict" else None, "lock": lock}

    def login(self, owner: str) -> Flow[Session]:
        """Give a session of `owner` whose token nobody held before this call.

        The visitor's anonymous session becomes the owner's. Without one, or if it has ended meanwhile, one is
        opened with what this request wrote. That of another owner is ended once the new one is open, and what was
        written goes with it, because it may hold what was read there; if either fails, the visitor is who he was.
        """
        valid_name("owner", owner)
        self._check_open()
        session = yield from self.session()
        if session is not None and session.owner != owner and not is_anonymous(session.owner):
            opening = ask("create", owner, scope=self.rules.scope, data=None)
            opened = yield from opened_over(session, opening)
            self._forget_named_sessions()
            return self._hand_out(opened)
        if session is not None:
            receiving = owner if session.owner != owner else None
            try:
                session = yield from ask("rotate", session, owner=receiving)
            except SessionEndedError:
                session = None
        # Two logins of one browser at once: the loser's session may by now be the winner's, which is not ours to use.
        if session is None or session.owner != owner:
            return (yield from self._open(owner))
        return self._hand_out(session)

    def rotate(self) -> Flow[None]:
        """Give the session a new token, unless there is none or this response sets one anyway."""
        self._check_open()
        session = yield from self.session()
        if session is not None and self._token is None:
            self._hand_out((yield from self._asked_of_ours(Call("rotate", (session,), {}))))

    def logout(self) -> Flow[Session | None]:
        """End the visitor's session, then have the client forget its token; None if there was none.

        Raises:
            SessionEndedError: somebody has logged in with it. It goes on, and so does the cookie that the login set.
        """
        self._check_open()
        session = yield from self.session()
        self._check_not_taken()
        # The server first: if it cannot be told, the error leaves the cookie, and the visitor can try again.
        ended: Session | None = None if session is None else (yield from ask("end", session))
        if session is not None and ended is None and is_anonymous(session.owner):
            yield from self.check_still_ours(session)
        self._session = self._token = None
        self._farewell = True
        self._forget_named_sessions()
        self._forget_others()
        if self.fields is not None:
            self.fields.empty()
        return ended

    def _forget_named_sessions(self) -> None:
        """Have the browser forget, too, which sessions it was let into by their names: nobody has them after him."""
        self.is_unbound = True
        if self.rules.external is not None:
            # A name that was bound in this request goes as well: its cookie is among the headers that are not sent.
            kept = (header for header in self.further_headers if header[0] != "Set-Cookie")
            forgetting = self.rules.external.forgotten_at_logout(self.rules.transport, self._presented)
            self.further_headers = (*kept, *forgetting)

    # Other sessions of the visitor

    def new_session(self, scope: str | None = None, data: Mapping[str, Any] | None = None) -> Flow[Session]:
        """Give a session for one upload or workflow, always new, that belongs to the visitor.

        Raises:
            SessionEndedError: somebody has logged in with the visitor's session since this request loaded it.
        """
        self._check_open()
        # Of another kind than those of visitors: no limit of these, no list of devices and no logout counts it.
        kind = named(scope, WORKFLOW_SCOPE)
        visitor = yield from self.opened()
        if is_anonymous(visitor.owner) and not visitor.is_new:
            # Of the former owner, it would be found by nobody. A login between this and the next call is not noticed.
            yield from self.check_still_ours(visitor)
        session: Session = yield from ask("create", visitor.owner, scope=kind, data=data)
        return session

    def own_session(self, session_id: str, scope: str | None = None) -> Flow[Session | None]:
        """Give the visitor's active session with this id, in `scope` or any; None for every other id, all alike."""
        visitor = yield from self.session()
        session: Session | None = None if visitor is None else (yield from ask("get", session_id))
        if session is None or visitor is None or session.owner != visitor.owner or session.status != "active":
            return None
        return (yield from seen(session)) if scope is None or session.scope == scope else None

    def own_sessions(self, scope: str | None = None) -> Flow[tuple[Session, ...]]:
        """Give the visitor's active sessions, newest first: his devices, or with `scope` those of another kind."""
        kind = named(scope, self.rules.scope)
        visitor = yield from self.session()
        if visitor is None:
            return ()
        return (yield from collect("sessions", owner=visitor.owner, scope=kind))

    def logout_others(self) -> Flow[int]:
        """End the visitor's other sessions of this kind: log out his other devices; gives how many they were."""
        self._check_open()
        visitor = yield from self.session()
        if visitor is None:
            return 0
        count: int = yield from ask("end_owner", visitor.owner, scope=self.rules.scope, keep=visitor)
        return count

    def logout_everywhere(self) -> Flow[int]:
        """End all sessions of the visitor, of every kind, this one among them; gives how many they were."""
        self._check_open()
        visitor = yield from self.session()
        if visitor is None:
            return 0
        count: int = yield from ask("end_owner", visitor.owner)
        yield from self.logout()
        return count

    def get_or_create(
        self, owner: str, *, scope: str, data: Mapping[str, Any] | None = None, external_id: str | None = None
    ) -> Flow[Session]:
        """Give the active session of the slot; however often a request asks, the store is asked once.

        Raises:
            MisuseError: the view is marked read_only, and the store was not asked before.
            SessionSealedError: the response was sent, and the store was not asked before.
        """
        if self.resolved.of_slot(scope, owner, external_id) is None:
            self._check_open()
        return (yield from self.of_slot(owner, scope=scope, data=data, external_id=external_id))

    def of_slot(
        self, owner: str, *, scope: str, data: Mapping[str, Any] | None = None, external_id: str | None = None
    ) -> Flow[Session]:
        """Give what `get_or_create` gives, in whatever mode the view is; for a session that the client names."""
        session = self.resolved.of_slot(scope, owner, external_id)
        if session is None:
            self.is_used = True
            session = yield from ask("get_or_create", owner, scope=scope, data=data, external_id=external_id)
            self.resolved.note(session)
        return session

    def expect(self, session_id: str) -> Flow[Session]:
        """Give the visitor's session, which the page or job that carries `session_id` believes it to be.

        Raises:
            SessionMismatchError: it is another one by now, or none; the event `ContextLost` was published.
        """
        session = yield from self.session()
        if session is None or session.id != session_id:
            found = None if session is None else session.id
            self.rules.guard.publish(self.resolved.lost(session_id, found))
            raise SessionMismatchError(session_id, found)
        return session

    # Answering

    def begin_body(self, *, may_look: bool) -> None:
        """Decide, as the headers go, whether a body that is still to be made may look at the session first."""
        if not self.is_used:
            self.is_used, self.is_barred = may_look, not may_look

    def private(self, headers: Iterable[http.Header], expires: datetime | None) -> list[http.Header]:
        """Give the headers to send instead of `headers`; `expires` is for a token that is handed out."""
        if not self.is_used:
            return list(headers)
        transport = self.rules.transport
        sent = http.private_headers(headers, transport.request_header)
        if self._token is not None:
            sent.append(transport.handing_out(self._token, expires))
        elif self._farewell:
            sent.append(transport.taking_back())
        if self._farewell:
            sent.append(("Clear-Site-Data", http.CLEAR_SITE_DATA))
        sent += self.further_headers
        return sent

    @property
    def hands_out_token(self) -> bool:
        """Whether the response will carry a new token."""
        return self._token is not None

    def stop(self) -> None:
        """Refuse changes from now on."""
        self.is_sealed = True
        if self.fields is not None:
            self.fields.barrier = self._sealed

    def _sealed(self) -> SessionSealedError:
        return SessionSealedError(None if self._session is None else self._session.id)

    def _forget_others(self) -> None:
        """Sessions that the former visitor chose are none of the next one's."""
        self.resolved.forget()
        self.external = None

    def _hand_out(self, session: Session) -> Session:
        if self._session is None or self._session.owner != session.owner:
            self._forget_others()
        self._session, self._taken = session, None
        self._token = session.token or self._token
        self.resolved.note(session)
        if self.fields is not None:
            self.fields.rest_on(session)
        return session

    def _check_open(self) -> None:
        if self.is_sealed:
            raise self._sealed()
        if self._mode.is_read_only:
            raise refused_read_only()
