"""Stores with one planted bug each that only some order of callers shows: right whenever nobody comes between."""

from contextlib import nullcontext
from typing import Any

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.points import areach, reach
from sessionguard.core.records import SessionRecord
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry, Holding, now


class DeclaredModel(ModelStore):
    """The model, with a point before each command."""

    def between(self, command: c.Command[Any]) -> None:
        """Let others come between."""
        self.lock.release()
        try:
            reach("gap", self.name, command)
        finally:
            self.lock.acquire()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in _VERBS:
            return found

        def ask(command: c.Command[Any]) -> Any:
            reach(name, "model", command)
            return found(command)

        return ask


_VERBS = frozenset({"get_or_create", "create", "replace", "load", "get", "save", "touch", "rotate", "end", "end_owner"})
_VERBS |= {
    "sweep",
    "purge",
    "page",
    "acquire_lock",
    "renew_lock",
    "release_lock",
    "hold_lease",
    "release_lease",
    "leased_until",
}


class ChecksThenInserts(DeclaredModel):
    """Looks whether the slot is free, and opens in a second step."""

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        with self.step():
            is_free = self.holder_of(command.new) is None
            if is_free:
                self.between(command)
                return c.Opened(self.open(command.new, True, now(command)))
        return ModelStore.get_or_create(self, command)


class LosesUpdates(DeclaredModel):
    """Writes back the whole record that it read before."""

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        copy = Entry(entry.record, entry.lifetime)
        self.between(command)
        written = super().write(copy, command)
        entry.record = evolve(copy.record, reason=entry.record.reason, ended_us=entry.record.ended_us)
        return written


class SavesWhatHasEnded(DeclaredModel):
    """Looks whether the session is active, and writes the record back in a second step."""

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        copy = Entry(entry.record, entry.lifetime)
        self.between(command)
        written = super().write(copy, command)
        entry.record = copy.record
        return written


class SweepsByAStaleRead(DeclaredModel):
    """Reads what has expired, and ends it in a second step, whatever it has become."""

    def sweep(self, command: c.Sweep) -> c.Ended:
        with self.step():
            stale = self.expired(now(command))[: command.limit]
            self.between(command)
            return c.Ended(tuple(self.finish(e, "expired", now(command), command.operation_id) for e in stale))


class LocksInTwoSteps(DeclaredModel):
    """Looks whether a lock is free, and takes it in a second step."""

    def is_free_for(self, holding: Holding, command: c.AcquireLock) -> bool:
        is_free = super().is_free_for(holding, command)
        self.between(command)
        return is_free


class FencesStartAnew(DeclaredModel):
    """Forgets the fence of a lock that was given back, so a stale holder's number is a fresh one again."""

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        reply = ModelStore.release_lock(self, command)
        holding = self.holdings.get((command.session_id, command.name))
        if holding is not None and holding.holder is None:
            holding.fence = 0
        return reply


class RefillsItsCache(DeclaredModel):
    """Keeps what a load has read, also if the session ended meanwhile and was dropped from the cache."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[bytes, SessionRecord] = {}

    def load(self, command: c.Load) -> c.Loaded:
        cached = self.cache.get(command.token_hash)
        if cached is not None:
            return c.Loaded(cached)
        loaded = ModelStore.load(self, command)
        reach("refill", "model", command)
        if loaded.record is not None:
            self.cache[command.token_hash] = loaded.record
        return loaded

    def end(self, command: c.End) -> c.Changed:
        changed = ModelStore.end(self, command)
        self.cache.clear()
        return changed


class RotatesInTwoSteps(DeclaredModel):
    """Compares the token, and replaces it in a second step: two rotations are done."""

    def rotate(self, command: c.Rotate) -> c.Changed:
        with self.step():
            entry = self.entries.get(command.session_id)
            is_current = entry is not None and entry.record.token_hash == command.expected_hash
            self.between(command)
        if is_current and entry is not None:
            command = evolve(command, expected_hash=entry.record.token_hash)
        return ModelStore.rotate(self, command)


class AsyncInsertsInTwoSteps:
    """An async store of its own, which looks whether the slot is free and opens in a second step."""

    name = "model"

    def __init__(self, model: ModelStore) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)

        async def ask(*command: Any) -> Any:
            return found(*command)

        return ask

    async def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        await areach("SELECT", "model", command, "r")
        is_free = self._model.holder_of(command.new) is None
        await areach("INSERT", "model", command)
        if is_free:
            return c.Opened(self._model.open(command.new, True, now(command)))
        return self._model.get_or_create(command)

    async def close(self) -> None:
        """Leave the model open: it is the place."""


class UnlockedMemory(MemoryStore):
    """The memory store without its mutex, at lines that nobody declared."""

    def _begin_empty(self) -> None:
        super()._begin_empty()
        self._mutex = nullcontext()  # type: ignore[assignment]
