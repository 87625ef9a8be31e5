"""`request.session` of the middleware: Django's session interface over the visit of the request."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.utils.asyncio import async_unsafe

from sessionguard.adapters.django import values
from sessionguard.adapters.django.engine import SessionStore
from sessionguard.adapters.django.expiry import EXPIRY, UNTIL, is_due, is_over, until_ms, until_of
from sessionguard.adapters.django.keeping import KeptSession
from sessionguard.adapters.fields import Fields
from sessionguard.adapters.visits import AsyncVisit, Visit, VisitFlows
from sessionguard.adapters.visits.calls import Flow
from sessionguard.adapters.visits.rules import VisitRules
from sessionguard.core.data import differing
from sessionguard.core.session import Session
from sessionguard.errors import SessionEndedError, SessionGuardError

R = TypeVar("R")


class ExpiringFlows(VisitFlows):
    """A visit to whom a session is over when Django was told that it should be (`set_expiry`).

    Whoever looks at `request.user`, be it in a view marked `read_only`, may have Django end the session, for the user's
    password was changed elsewhere, or renew it, for `SECRET_KEY` was. So a mark forbids neither.
    """

    __slots__ = ("_is_lifted",)

    def __init__(self, rules: VisitRules, presented: Iterable[bytes]) -> None:
        """See `VisitFlows`."""
        super().__init__(rules, presented)
        self._is_lifted = False

    def _found(self) -> Flow[Session | None]:
        session = yield from super()._found()
        return None if session is None or is_over(session) else session

    def goes_on(self, session: Session, found: Session | None) -> bool:
        """Whether `found` is still what a stream may depend on; not once it is over by what Django was told."""
        return found is not None and super().goes_on(session, found) and not is_over(found)

    def logout(self) -> Flow[Session | None]:
        """End the visitor's session, be it in a view that only reads."""
        return (yield from self._lifted(super().logout()))

    def rotate(self) -> Flow[None]:
        """Give the session a new token, be it in a view that only reads."""
        yield from self._lifted(super().rotate())

    def _lifted(self, flow: Flow[R]) -> Flow[R]:
        self._is_lifted = True
        try:
            return (yield from flow)
        finally:
            self._is_lifted = False

    def _check_open(self) -> None:
        if self.is_sealed or not self._is_lifted:
            super()._check_open()


class VisitedFields(Fields):
    """The fields of the session as Django's serializer gives them."""

    # How long the browser is to keep the cookie follows from it.
    renewing: ClassVar[frozenset[str]] = frozenset({EXPIRY})
    exempt: ClassVar[frozenset[str]] = frozenset({HASH_SESSION_KEY, UNTIL})

    def __init__(self, session: "VisitedSession") -> None:
        super().__init__(session.visit.session)
        self._session = session

    def __setitem__(self, name: str, value: Any) -> None:
        flows = self._session.visit.flows
        if name not in self.exempt or flows.is_sealed:
            super().__setitem__(name, value)
            return
        # With its key of today Django proves again who is logged in, whatever the mark of the view.
        barrier, self.barrier = self.barrier, None
        try:
            super().__setitem__(name, value)
        finally:
            self.barrier = barrier

    def mark_written(self) -> None:
        """Say that fields were written."""
        # Django says so after each write, that of an exempt field as well, and once is enough.
        if not self.is_written or self._session.visit.flows.is_sealed:
            super().mark_written()

    def decoded(self, stored: Any) -> Any:
        """Give the value that the stored list or object describes, sharing nothing with it."""
        return values.copied(stored)

    def encoded(self, stored: Mapping[str, Any], values_held: Mapping[str, Any]) -> dict[str, Any]:
        """Give those of the values, as they are to be stored, that are not already so in `stored`."""
        written = values.stored(values_held, self._session.serializer)
        return differing(stored, written)

    def changes(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Give the changed and the removed fields, and with them how long the session is to live."""
        changes, removed = super().changes()
        if changes or removed or self.is_due:
            changes[UNTIL] = until_ms(self._session, self._values or {})
        return changes, removed

    @property
    def is_changed(self) -> bool:
        """Whether a field was written, removed, or changed in place."""
        return self.is_changed_or_held and any(super().changes())

    @property
    def is_due(self) -> bool:
        """Whether the session is to live longer although nothing was written to it."""
        base = self._base
        if not settings.SESSION_SAVE_EVERY_REQUEST or base is None:
            return False
        return is_due(until_of(base), until_ms(self._session, self._values or {}))

    def rest_on(self, session: Session) -> None:
        """Go on with `session`, which was opened or received; what is no field of it is gone."""
        super().rest_on(session)
        self._hide()

    def _loaded(self) -> dict[str, Any]:
        if self._values is None:
            super()._loaded()
            self._hide()
            if self._values is not None:
                self._values = values.given(self._values, self._session.serializer)
        return super()._loaded()

    def _hide(self) -> None:
        self._before().pop(UNTIL, None)
        if self._values is not None:
            self._values.pop(UNTIL, None)


class VisitedSession(SessionBase):
    """The session of one request. The store is asked at its first use; what changed is stored with the response."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.fields = visit.flows.fields = VisitedFields(self)
        self.failure: SessionGuardError | None = None
        """Why the session could not be found."""
        self.is_awaited = False
        """Whether the view awaits."""
        self._awaited: AsyncVisit | None = None
        super().__init__()

    @property
    def awaited(self) -> AsyncVisit:
        """The visit for those who await."""
        if self._awaited is None:
            self._awaited = AsyncVisit(self.visit.flows.rules, flows=self.visit.flows)
        return self._awaited

    # The mapping: Django's methods work on what these give

    def _get_session(self, no_load: bool = False) -> VisitedFields:
        self.accessed = True
        self.found()
        return self.fields

    async def _aget_session(self, no_load: bool = False) -> VisitedFields:
        self.accessed = True
        try:
            await self.awaited.session()
        except SessionGuardError as error:
            self.failure = error
            raise
        return self.fields

    _session = property(_get_session)

    def found(self) -> Session | None:
        """Give the visitor's session, or None; the store is asked once."""
        try:
            return self.visit.flows.known() if self.visit.flows.is_resolved else self._resolved()
        except SessionGuardError as error:
            self.failure = error
            raise

    @async_unsafe("The session was not loaded yet. In async code take its awaited methods, such as session.aget(...).")
    def _resolved(self) -> Session | None:
        return self.visit.session()

    def fill(self) -> None:
        """Have the fields at hand, for what is to be stored follows from them."""
        self.found()
        self.fields.copy()

    @property
    def modified(self) -> bool:
        """Whether fields were written, or values in them changed in place. False discards that."""
        return self.fields.is_written or self.fields.is_changed

    @modified.setter
    def modified(self, value: bool) -> None:
        if value:
            self.fields.mark_written()
        elif self.fields.is_changed:
            # Only then: Django's `pop` sets False where nothing was, and what is changed in place later is to be kept.
            self.fields.discard()

    def clear(self) -> None:
        """Remove every field."""
        self._get_session().clear()

    def is_empty(self) -> bool:
        """Tell whether there is neither a session nor anything to keep in one."""
        return self.found() is None and not self.fields

    @property
    def session_key(self) -> str | None:
        """The token, a secret; None without a session. To name the session, take `request.sessionguard` and its id."""
        return None if self.found() is None else self.visit.flows.token

    # What ends, renews and stores

    def load(self) -> dict[str, Any]:
        """Give the data of the session as it was found."""
        return self._data(self.found())

    async def aload(self) -> dict[str, Any]:
        """See `load`."""
        return self._data(await self.awaited.session())

    def exists(self, session_key: str) -> bool:
        """Tell whether this is the current key of an active session."""
        return self._run(self._other().exists(session_key))

    async def aexists(self, session_key: str) -> bool:
        """See `exists`."""
        return await self.awaited.run(self._other().exists(session_key))

    def create(self) -> None:
        """Have a session with a key that nobody held before."""
        self._run(self._create())

    async def acreate(self) -> None:
        """See `create`."""
        await self.awaited.run(self._create())

    def save(self, must_create: bool = False) -> None:
        """Store now what differs from what was loaded, in a session that is opened if there is none.

        Raises:
            UpdateError: the session is over, and does not come back.
            CreateError: `must_create`, but there is a session.
        """
        self._run(self._save(must_create))

    async def asave(self, must_create: bool = False) -> None:
        """See `save`."""
        await self.awaited.run(self._save(must_create))

    def delete(self, session_key: str | None = None) -> None:
        """End the session of `session_key`, or this one."""
        self._run(self._delete(session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        """See `delete`."""
        await self.awaited.run(self._delete(session_key))

    def flush(self) -> None:
        """End the session on the server, then have the browser forget its cookie."""
        self._run(self._delete(None))

    async def aflush(self) -> None:
        """See `flush`."""
        await self.awaited.run(self._delete(None))

    def cycle_key(self) -> None:
        """Give the session a token that nobody held before."""
        self._run(self._cycle())

    async def acycle_key(self) -> None:
        """See `cycle_key`."""
        await self.awaited.run(self._cycle())

    def receive(self, owner: str) -> None:
        """Make the session that of `owner`, who has logged in."""
        self.visit.login(owner)

    @classmethod
    def clear_expired(cls) -> None:
        """End what has expired, and forget what ended long ago."""
        SessionStore.clear_expired()

    # The flows

    @async_unsafe("This asks the store. In async code take the method whose name begins with an a.")
    def _run(self, flow: Flow[R]) -> R:
        return self.visit.run(flow)

    def _create(self) -> Flow[None]:
        session = yield from self.visit.flows.session()
        if session is None:
            yield from self.visit.flows.opened()
        else:
            yield from self.visit.flows.rotate()

    def _save(self, must_create: bool) -> Flow[None]:
        flows = self.visit.flows
        is_there = (yield from flows.session()) is not None
        if is_there and must_create:
            raise CreateError
        try:
            yield from (flows.save() if is_there else flows.opened())
        except SessionEndedError as error:
            raise UpdateError("the session is over: logged out in another request, or expired") from error

    def _delete(self, session_key: str | None) -> Flow[None]:
        self.accessed = True
        if session_key is None or session_key == self.visit.flows.token:
            yield from self.visit.flows.logout()
        else:
            yield from self._other().end(session_key)

    def _cycle(self) -> Flow[None]:
        self.accessed = True
        if (yield from self.visit.flows.session()) is not None:
            try:
                yield from self.visit.flows.rotate()
            except SessionEndedError:
                # Logged out elsewhere: a login opens another, and whoever only writes is told when it is stored.
                return

    def _other(self) -> KeptSession:
        return KeptSession(self.visit.flows.rules.scope)

    def _data(self, session: Session | None) -> dict[str, Any]:
        fields = {} if session is None else {name: session.data[name] for name in session.data if name != UNTIL}
        return values.given(fields, self.serializer)
