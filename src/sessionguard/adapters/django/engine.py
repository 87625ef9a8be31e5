"""`SESSION_ENGINE`: Django's `request.session` over the guard of the process, blocking and async.

It works with Django's own middleware and everything that uses sessions. What differs from Django's engines: only the
fields that a request changed are stored, values changed in place are noticed, and a key is never taken from a client.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError

from sessionguard.adapters.django import guards, hiding, owners, values
from sessionguard.adapters.django.expiry import until_ms
from sessionguard.adapters.django.keeping import KeptSession, SupersededError
from sessionguard.adapters.visits.calls import Flow, run, run_async, taker_of
from sessionguard.core.data import differing
from sessionguard.errors import SessionEndedError, StoreError

R = TypeVar("R")

_log = logging.getLogger("sessionguard.adapters")

_OVER: Final = "the session is over: logged out in another request, or its key was replaced there"
_CACHE: Final = "_session_cache"

# Here as well as in the app, which is not needed for the engine alone.
owners.connect()
hiding.install()


class SessionStore(SessionBase):
    """The session of one key. Nothing is asked of the store before its first use.

    An outage that hindered loading stays one for this object, which is that of one request: view, middleware and error
    page do not each wait for the store again.
    """

    def __init__(self, session_key: str | None = None) -> None:
        self._kept = KeptSession(guards.serving().scope)
        self._outage: StoreError | None = None
        self._is_modified = False
        self._unmodified: Mapping[str, Any] | None = None
        super().__init__(session_key)

    @property
    def modified(self) -> bool:
        """Whether fields were written, or values in them changed in place. False discards that until the next write."""
        return self._is_modified or self._is_changed_in_place()

    @modified.setter
    def modified(self, value: bool) -> None:
        self._is_modified = bool(value)
        self._unmodified = self._as_stored() if not value and _CACHE in self.__dict__ else None

    def _is_changed_in_place(self) -> bool:
        if not values.has_containers(self._values()):
            return False
        before = self._kept.fields if self._unmodified is None else self._unmodified
        try:
            return bool(differing(before, self._as_stored()))
        except (TypeError, ValueError):
            # Saving says what is wrong with it.
            return True

    # The two faces of each flow

    def load(self) -> dict[str, Any]:
        """Give the data of the session; a key that leads to none is forgotten."""
        return _run(self._load())

    async def aload(self) -> dict[str, Any]:
        """See `load`."""
        return await _run_async(self._load())

    def exists(self, session_key: str) -> bool:
        """Tell whether this is the current key of an active session."""
        return _run(self._kept.exists(session_key))

    async def aexists(self, session_key: str) -> bool:
        """See `exists`."""
        return await _run_async(self._kept.exists(session_key))

    def create(self) -> None:
        """Open a session that holds what was written so far."""
        _run(self._create())

    async def acreate(self) -> None:
        """See `create`."""
        await _run_async(self._create())

    def save(self, must_create: bool = False) -> None:
        """Store the fields that differ from what was loaded; without a key, open a session that holds them.

        Raises:
            UpdateError: the session is over, and does not come back.
            CreateError: `must_create`, but there is a key; only the server makes keys.
        """
        _run(self._save(must_create))

    async def asave(self, must_create: bool = False) -> None:
        """See `save`."""
        await _run_async(self._save(must_create))

    def delete(self, session_key: str | None = None) -> None:
        """End the session of `session_key`, or this one."""
        _run(self._delete(session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        """See `delete`."""
        await _run_async(self._delete(session_key))

    def cycle_key(self) -> None:
        """Give the session a new key; the former one may go on reading for the grace of the policy."""
        _run(self._cycle())

    async def acycle_key(self) -> None:
        """See `cycle_key`."""
        await _run_async(self._cycle())

    def receive(self, owner: str) -> None:
        """Make the session that of `owner`, who has logged in; the key of before is dead from now on."""
        _run(self._receive(owner))

    async def areceive(self, owner: str) -> None:
        """See `receive`."""
        await _run_async(self._receive(owner))

    @classmethod
    def clear_expired(cls) -> None:
        """End what has expired, and forget what ended long ago."""
        guard = guards.guard()
        while (swept := guard.sweep()).has_more and swept.ended:
            pass
        if swept.braked:
            _log.warning("more sessions are due than the brake lets pass, so none was ended; see sessionguard sweep")
            return
        while (purged := guard.purge()).has_more and purged.purged:
            pass

    # The flows

    def _load(self) -> Flow[dict[str, Any]]:
        # What a view holds goes on being compared with what was loaded with it.
        kept = KeptSession(self._kept.scope) if _CACHE in self.__dict__ else self._kept
        fields = yield from self._loaded_into(kept)
        if fields is None:
            self._session_key = None
            return {}
        return values.given(fields, self.serializer)

    def _filled(self) -> Flow[None]:
        """Load the data unless a view has them, and what they are compared with in any case."""
        if _CACHE not in self.__dict__:
            self.accessed = True
            self._session_cache = yield from self._load()
        elif self._kept.key != self.session_key:
            # Emptied before it was read.
            yield from self._loaded_into(self._kept)

    def _loaded_into(self, kept: KeptSession) -> Flow[Mapping[str, Any] | None]:
        if self._outage is not None:
            raise self._outage
        try:
            return (yield from kept.load(self.session_key))
        except StoreError as error:
            self._outage = error
            raise

    def _create(self) -> Flow[None]:
        self.accessed = True
        self._session_cache = self._values()
        self._session_key = yield from self._kept.create(self._as_stored(), self._until_ms())
        self.modified = True

    def _save(self, must_create: bool) -> Flow[None]:
        if must_create and self.session_key is not None:
            raise CreateError
        if self.session_key is not None:
            yield from self._filled()
        if self.session_key is None:
            yield from self._create()
            return
        try:
            if self._kept.session is None:
                raise SupersededError
            yield from self._kept.save(self._as_stored(), self._until_ms())
        except (SessionEndedError, SupersededError) as error:
            raise UpdateError(_OVER) from error
        self._unmodified = None

    def _delete(self, session_key: str | None) -> Flow[None]:
        yield from self._kept.end(self.session_key if session_key is None else session_key)

    def _cycle(self) -> Flow[None]:
        yield from self._filled()
        yield from self._go_on(self._kept.cycle(self._as_stored(), self._until_ms()))
        self.modified = True

    def _receive(self, owner: str) -> Flow[None]:
        yield from self._filled()
        yield from self._go_on(self._kept.receive(owner, self._as_stored(), self._until_ms()))

    def _go_on(self, flow: Flow[str | None]) -> Flow[None]:
        """Go on with the key that `flow` gives; in another session with what that holds, and nothing of the former."""
        before = self._kept.session
        self._session_key = yield from flow
        after = self._kept.session
        if before is not None and after is not None and before.id != after.id:
            self._session_cache = values.given(self._kept.fields, self.serializer)

    # The data

    def _values(self) -> dict[str, Any]:
        cache: dict[str, Any] = self.__dict__.get(_CACHE, {})
        return cache

    def _as_stored(self) -> dict[str, Any]:
        cache = self._values()
        return values.stored(cache, self.serializer) if cache else {}

    def _until_ms(self) -> int:
        return until_ms(self, self._values())


def _run(flow: Flow[R]) -> R:
    return run(flow, guards.guard())


async def _run_async(flow: Flow[R]) -> R:
    return await run_async(flow, taker_of(guards.guard()))
