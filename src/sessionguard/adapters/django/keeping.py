"""What the session engine does with the session of one key, decided once for its blocking and its async face."""

from collections.abc import Mapping
from typing import Any

from sessionguard.adapters.django.expiry import UNTIL, is_due, is_over, until_of
from sessionguard.adapters.visits.calls import Flow, ask
from sessionguard.adapters.visits.switching import opened_over
from sessionguard.core.arguments import valid_name
from sessionguard.core.data import difference, differing
from sessionguard.core.session import Session, is_in_grace
from sessionguard.core.tokens import is_anonymous
from sessionguard.errors import SessionEndedError


class SupersededError(Exception):
    """The key that the request came with has been replaced: another request holds the one that is good."""


class KeptSession:
    """The session of one key: what is known of it, and the flows that find, store, renew and end it."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.key: str | None = None
        """The key that all this is about."""
        self.session: Session | None = None
        self.fields: Mapping[str, Any] = {}
        """The stored fields that the values of the request began with."""
        self.until_ms = 0
        self.owner: str | None = None
        """Whose the session is to be when it is opened."""

    def forget(self) -> None:
        """Go on without a session."""
        self.key, self.session, self.fields, self.until_ms = None, None, {}, 0

    # Finding

    def find(self, key: object, *, extend: bool = True) -> Flow[Session | None]:
        """Give the active session of `key`, unless Django holds it for expired."""
        if key is None:
            return None
        session: Session | None = yield from ask("load", key, scope=self.scope, extend=extend)
        return None if session is None or is_over(session) else session

    def load(self, key: str | None) -> Flow[Mapping[str, Any] | None]:
        """Give the stored fields of the session of `key` and go on with it; None if the key leads to nothing."""
        session = yield from self.find(key)
        if session is None:
            self.forget()
            return None
        fields = {name: value for name, value in session.data.items() if name != UNTIL}
        self._rest_on(session, key, fields, until_of(session))
        return fields

    def exists(self, key: object) -> Flow[bool]:
        """Tell whether `key` is the current one of an active session; one that was replaced is not."""
        session = yield from self.find(key, extend=False)
        return session is not None and not is_in_grace(session)

    # Storing

    def create(self, fields: Mapping[str, Any], until_ms: int) -> Flow[str]:
        """Open a session that holds `fields`, and give its key."""
        return self._begin((yield from self._opened(self.owner, fields, until_ms)), fields, until_ms)

    def _opened(self, owner: str | None, fields: Mapping[str, Any], until_ms: int) -> Flow[Session]:
        session: Session = yield from ask("create", owner, scope=self.scope, data={**fields, UNTIL: until_ms})
        return session

    def _begin(self, session: Session, fields: Mapping[str, Any], until_ms: int) -> str:
        assert session.token is not None
        self._rest_on(session, session.token, fields, until_ms)
        return session.token

    def save(self, fields: Mapping[str, Any], until_ms: int) -> Flow[None]:
        """Store what differs from the fields that the request began with; what others stored meanwhile stays.

        Raises:
            SessionEndedError: the session is over.
            SupersededError: the key was replaced meanwhile. Set in a cookie, it would take the place of the good one.
        """
        session = self.session
        assert session is not None
        if is_in_grace(session):
            raise SupersededError
        changes, removed = difference(self.fields, fields)
        # That the session was used again is worth a write of its own only now and then.
        if changes or removed or is_due(self.until_ms, until_ms):
            self.until_ms = changes[UNTIL] = until_ms
        saved: Session = yield from ask("save", session, changes, remove=removed)
        self._rest_on(saved, self.key, fields, self.until_ms)
        if is_in_grace(saved):
            raise SupersededError

    # Renewing and ending

    def cycle(self, fields: Mapping[str, Any], until_ms: int) -> Flow[str]:
        """Give the session a new key and give that; `fields` are what the request holds.

        Whoever comes too late, because the session is over or got another key meanwhile, gets a new session with
        what the request wrote, and nothing of the former.
        """
        if self.session is not None:
            try:
                renewed: Session = yield from ask("rotate", self.session)
            except SessionEndedError:
                pass
            else:
                if renewed.token is not None:
                    self._rest_on(renewed, renewed.token, self.fields, self.until_ms)
                    return renewed.token
            fields = differing(self.fields, fields)
        return (yield from self.create(fields, until_ms))

    def receive(self, owner: str, fields: Mapping[str, Any], until_ms: int) -> Flow[str | None]:
        """Make the session that of `owner`, who has logged in, and give its key; None if it is still to be opened.

        A session of another owner is ended once the new one is open, which holds only what the request wrote; if
        either fails, the visitor is who he was.
        """
        valid_name("owner", owner)
        session = self.session
        if session is not None and session.owner != owner and not is_anonymous(session.owner):
            written = differing(self.fields, fields)
            opened = yield from opened_over(session, self._opened(owner, written, until_ms))
            self.owner = owner
            return self._begin(opened, written, until_ms)
        self.owner = owner
        if session is None or session.owner == owner:
            return self.key
        try:
            received: Session = yield from ask("rotate", session, owner=owner)
        except SessionEndedError:
            pass
        else:
            if received.token is not None and received.owner == owner:
                self._rest_on(received, received.token, self.fields, self.until_ms)
                return received.token
        return (yield from self.create(differing(self.fields, fields), until_ms))

    def end(self, key: str | None) -> Flow[None]:
        """End the session of `key`; what leads to none changes nothing."""
        session = self.session if key == self.key else None
        if session is None and key is not None:
            session = yield from ask("load", key, scope=self.scope, extend=False)
        if session is not None:
            yield from ask("end", session)

    def _rest_on(self, session: Session, key: str | None, fields: Mapping[str, Any], until_ms: int) -> None:
        self.session, self.key, self.fields, self.until_ms = session, key, fields, until_ms
