"""One request's dealings with its session, for blocking frameworks: resolved once, saved once, then sealed.

A framework's adapter gives the raw Cookie header and turns its own session object into changed and removed
fields; everything between that and the guard is here.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from attrs import Attribute, field, frozen

from sessionguard.adapters import http
from sessionguard.core.arguments import valid_text
from sessionguard.core.events import CookieRefused
from sessionguard.core.session import Session
from sessionguard.core.tokens import is_anonymous
from sessionguard.errors import (
    ConfigurationError,
    InvalidArgumentError,
    SessionEndedError,
    SessionGuardError,
    SessionSealedError,
)
from sessionguard.guard import SessionGuard

_log = logging.getLogger("sessionguard.adapters")

Concurrency = Literal["merge", "strict", "serial"]

REQUEST_LOCK: Final = "request"
_OTHER_OWNER: Final = "other-owner"


def _mode(_: Any, __: "Attribute[str]", value: object) -> None:
    if value not in {"merge", "strict", "serial"}:
        raise ConfigurationError("SESSIONGUARD_CONCURRENCY", value, 'give "merge", "strict" or "serial"')


def _wait(_: Any, __: "Attribute[timedelta]", value: object) -> None:
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise ConfigurationError("SESSIONGUARD_LOCK_TIMEOUT", value, "give a timedelta above zero")


@frozen(kw_only=True)
class VisitRules:
    """What is the same for every request of an application."""

    guard: SessionGuard
    cookie: http.CookieSettings
    scope: str = "default"
    concurrency: Concurrency = field(default="merge", validator=_mode)
    """merge: fields written by different requests all survive. strict: a request whose session changed since it
    was loaded is refused. serial: the requests of one session run one at a time."""
    lock_timeout: timedelta = field(default=timedelta(seconds=10), validator=_wait)
    """How long a request waits for those before it in serial mode."""
    cookie_key: bytes = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            valid_text("scope", self.scope)
        except InvalidArgumentError as error:
            raise ConfigurationError("SESSIONGUARD_SCOPE", self.scope, error.remedy) from None
        object.__setattr__(self, "cookie_key", self.cookie.name.encode("ascii"))


class Visit:
    """The session of one request. Not for use by two threads at once."""

    __slots__ = (
        "_cookie_headers", "_failure", "_farewell", "_lock", "_resolved", "_rules", "_session", "_token",
        "is_barred", "is_parallel", "is_sealed", "is_used",
    )  # fmt: skip

    def __init__(self, rules: VisitRules, cookie_headers: Iterable[bytes]) -> None:
        self._rules = rules
        self._cookie_headers = cookie_headers
        self._session: Session | None = None
        self._resolved = False
        self._failure: SessionGuardError | None = None
        self._token: str | None = None
        self._farewell = False
        self._lock: Any = None
        self.is_parallel = rules.concurrency != "serial"
        """Whether this request may run beside others of its session."""
        self.is_used = False
        """Whether the response depends on the session, be it on there being none."""
        self.is_sealed = False
        self.is_barred = False
        """Whether the response is on its way to shared caches, so that the session must not be looked at any more."""

    def session(self) -> Session | None:
        """Give the visitor's session, or None. The store is asked once; an outage stays one for this request."""
        if self.is_barred:
            raise SessionSealedError(None)
        self.is_used = True
        if not self._resolved:
            self._resolve()
        if self._failure is not None:
            raise self._failure
        return self._session

    def opened(self, data: Mapping[str, Any] | None = None) -> Session:
        """Give the visitor's session; without one, open an anonymous one that holds `data`."""
        session = self.session()
        if session is None:
            self._check_open()
            session = self._hand_out(self._rules.guard.create(scope=self._rules.scope, data=data))
        return session

    def save(self, changes: Mapping[str, Any], remove: Iterable[str], *, version: int | None) -> None:
        """Store what the request changed, opening a session if it has none; nothing changed writes nothing.

        `version` is that of the data which the request saw; only strict mode insists on it.
        """
        if not changes and not remove:
            return
        session = self.session()
        if session is None:
            self.opened(changes)
            return
        lock = self._lock
        if lock is not None:
            # Stopped for longer than a lease, this request is not alone any more: what it read may have changed.
            lock.check()
            if lock.session_id != session.id:
                # It has logged in as another owner, and of the session opened for that no other request knows yet.
                lock = None
        expected = version if self._rules.concurrency == "strict" else None
        # With the lock, for the request may be stopped after the check, too.
        self._session = self._rules.guard.save(
            session, changes, remove=tuple(remove), expected_version=expected, lock=lock
        )

    def login(self, owner: str, data: Mapping[str, Any] | None = None) -> Session:
        """Give a session of `owner` whose token nobody held before this call.

        The visitor's anonymous session becomes the owner's. Without one, or if it has ended meanwhile, one is
        opened with `data`, what this request wrote; a session of another owner is ended first, and `data` goes
        with it, because it may hold what was read there.
        """
        valid_text("owner", owner)
        self._check_open()
        guard, session = self._rules.guard, self.session()
        if session is not None and session.owner != owner and not is_anonymous(session.owner):
            guard.end(session, _OTHER_OWNER)
            session = data = None
        if session is not None:
            receiving = owner if session.owner != owner else None
            try:
                session = guard.rotate(session, owner=receiving)
            except SessionEndedError:
                session = None
        # Two logins of one browser at once: the loser's session may by now be the winner's, which is not ours to use.
        if session is None or session.owner != owner:
            session = guard.create(owner, scope=self._rules.scope, data=data)
        return self._hand_out(session)

    def rotate(self) -> None:
        """Give the session a new token, unless there is none or this response sets one anyway."""
        session = self.session()
        if session is not None and self._token is None:
            self._hand_out(self._rules.guard.rotate(session))

    def logout(self) -> Session | None:
        """End the visitor's session, then have the browser forget it; None if there was none."""
        self._check_open()
        session = self.session()
        # The server first: if it cannot be told, the error leaves the cookie, and the visitor can try again.
        ended = None if session is None else self._rules.guard.end(session)
        self._session = self._token = None
        self._farewell = True
        return ended

    def new_session(self, scope: str | None = None, data: Mapping[str, Any] | None = None) -> Session:
        """Give a session for one upload or workflow, always new, that belongs to the visitor."""
        self._check_open()
        visitor = self.opened()
        return self._rules.guard.create(visitor.owner, scope=scope or self._rules.scope, data=data)

    def own_session(self, session_id: str, scope: str | None = None) -> Session | None:
        """Give the visitor's active session with this id, in `scope` or any; None for every other id, all alike."""
        visitor = self.session()
        session = None if visitor is None else self._rules.guard.get(session_id)
        if session is None or visitor is None or session.owner != visitor.owner or session.status != "active":
            return None
        return session if scope is None or session.scope == scope else None

    def private(self, headers: Iterable[tuple[str, str]], expires: datetime | None) -> list[tuple[str, str]]:
        """Give the headers to send instead of `headers`; `expires` is for a cookie that is set."""
        if not self.is_used:
            return list(headers)
        sent = http.private_headers(headers)
        if self._token is not None:
            sent.append(("Set-Cookie", self._rules.cookie.carrying(self._token, expires=expires)))
        elif self._farewell:
            sent.append(("Set-Cookie", self._rules.cookie.deleting()))
        if self._farewell:
            sent.append(("Clear-Site-Data", http.CLEAR_SITE_DATA))
        return sent

    @property
    def hands_out_token(self) -> bool:
        """Whether the response will set the cookie."""
        return self._token is not None

    def seal(self) -> None:
        """Refuse changes from now on, and let the next request of the session run."""
        self.is_sealed = True
        self.release()

    def release(self) -> None:
        """Let the next request of the session run."""
        lock, self._lock = self._lock, None
        if lock is not None:
            try:
                lock.__exit__(None, None, None)
            except SessionGuardError as error:
                # The work is done and answered; a lock that is not given back lapses by itself.
                _log.warning("a request could not give back its turn: %s", error)

    def _resolve(self) -> None:
        try:
            self._session = self._found()
        except SessionGuardError as error:
            self._failure = error
        self._resolved = True

    def _found(self) -> Session | None:
        rules = self._rules
        presented = http.read_token(self._cookie_headers, rules.cookie_key)
        if presented.problem is not None:
            rules.guard.publish(CookieRefused(presented.problem))
        if presented.token is None:
            return None
        session = rules.guard.load(presented.token, scope=rules.scope)
        if session is None or self.is_parallel or self.is_sealed:
            return session
        return self._alone(session, presented.token)

    def _alone(self, session: Session, token: str) -> Session | None:
        """Wait until no other request of `session` runs, and give it as that one left it."""
        rules = self._rules
        lock = rules.guard.lock(session, REQUEST_LOCK, timeout=rules.lock_timeout)
        try:
            lock.__enter__()
        except SessionEndedError:
            return None
        self._lock = lock
        # Loaded again: what was read before the lock was taken may have been changed by the one who held it.
        return rules.guard.load(token, scope=rules.scope)

    def _hand_out(self, session: Session) -> Session:
        self._session = session
        self._token = session.token or self._token
        return session

    def _check_open(self) -> None:
        if self.is_sealed:
            raise SessionSealedError(None if self._session is None else self._session.id)
