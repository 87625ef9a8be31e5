"""A store whose every command and reply is written down, so that what a storm did can be judged afterwards."""

from typing import Any, cast

from sessionguard.core import commands as c
from sessionguard.errors import MisuseError, StoreTimeoutError
from sessionguard.stores.contract import AsyncStore, Store
from sessionguard.testing.history.recorder import History, Recording

_VERBS = (
    "create",
    "get_or_create",
    "replace",
    "load",
    "get",
    "save",
    "touch",
    "rotate",
    "end",
    "end_owner",
    "sweep",
    "purge",
    "page",
    "acquire_lock",
    "renew_lock",
    "release_lock",
    "hold_lease",
    "release_lease",
    "leased_until",
)


def recorded(store: Store, history: History, client: str) -> Store:
    """Give a store that does the same for one `client` at a time and writes it down in `history`.

    ok: it answered. fail: `StoreTimeoutError`, for then nothing was done. info: anything else was raised, cancellation
    too. Give each thread its own, over one and the same store.
    """
    return cast("Store", _Recorded(store, history, client))


def recorded_async(store: AsyncStore, history: History, client: str) -> AsyncStore:
    """The same for an async store; give each task its own."""
    return cast("AsyncStore", _AsyncRecorded(store, history, client))


class _Transparent:
    """Has whatever the store has, and no ability that it has not."""

    def __init__(self, store: Any, history: History, client: str) -> None:
        self._store, self._history, self._client = store, history, client

    def __getattr__(self, name: str) -> Any:
        if name in ("as_async", "answer_inline"):
            # Past these, commands would not be written down.
            raise AttributeError(f"a recorded store has no {name!r}")
        found = getattr(self._store, name)
        return self._writing(name) if name in _VERBS else found

    def _writing(self, verb: str) -> Any:
        raise NotImplementedError

    def _recording(self, verb: str, command: c.Command[Any]) -> Recording:
        return self._history.record(self._client, verb, command=command)


class _Recorded(_Transparent):
    def _writing(self, verb: str) -> Any:
        def ask(command: Any) -> Any:
            with self._recording(verb, command) as recording:
                try:
                    reply = getattr(self._store, verb)(command)
                except _DID_NOTHING as error:
                    recording.fail(error)
                    raise
                recording.ok(reply)
                return reply

        return ask


class _AsyncRecorded(_Transparent):
    def _writing(self, verb: str) -> Any:
        async def ask(command: Any) -> Any:
            with self._recording(verb, command) as recording:
                try:
                    reply = await getattr(self._store, verb)(command)
                except _DID_NOTHING as error:
                    recording.fail(error)
                    raise
                recording.ok(reply)
                return reply

        return ask


_DID_NOTHING = (StoreTimeoutError, MisuseError)
