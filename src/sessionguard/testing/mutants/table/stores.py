"""Mutants of whole stores that the contract kit did not have, and how a store of the kit becomes a specimen."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Refusal
from sessionguard.core.records import SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import now
from sessionguard.testing.mutants.catalogue import MUTANTS
from sessionguard.testing.mutants.table.rows import Specimen, specimen
from sessionguard.testing.mutants.table.store_races import declared


class RevivesOnOldTokens(ModelStore):
    """`load` of the token of an ended session opens a new session for it, with that very token."""

    def load(self, command: c.Load) -> c.Loaded:
        entry = self.entry_of_token(command.token_hash)
        if entry is not None and entry.record.reason is not None:
            entry.record = evolve(entry.record, reason=None, ended_us=None, expires_us=2 * now(command))
        return super().load(command)


class EndsByPattern(ModelStore):
    """`end_owner` takes the owner for a pattern, as a search for keys does, so one called `*` ends everybody."""

    def is_meant(self, record: SessionRecord, command: c.EndOwner) -> bool:
        same = fnmatchcase(record.owner, command.owner)
        return same and super().is_meant(evolve(record, owner=command.owner), command)


class LoginKeepsTheToken(ModelStore):
    """A session that receives an owner keeps its token, so who planted that token is logged in, too."""

    def rotated(self, record: SessionRecord, command: c.Rotate) -> SessionRecord:
        rotated = super().rotated(record, command)
        if command.owner is None:
            return rotated
        return evolve(rotated, token_hash=record.token_hash, previous_hash=None, previous_until_us=None)


class LogoutKeepsTheToken(ModelStore):
    """`end` notes the end, and `load` looks for the token alone, so a logged-out token still works."""

    def refusal(self, record: SessionRecord, command: c.Load) -> Refusal | None:
        refusal = super().refusal(record, command)
        return None if refusal == "ended" else refusal


@frozen
class _InMemory:
    store: Callable[[], ModelStore]

    def __call__(self, folder: Path) -> ModelStore:
        return declared(self.store)()


def of_kit(name: str) -> Specimen:
    """Give the specimen of a planted bug of the contract kit."""
    mutant = MUTANTS[name]
    store: Any = mutant.store
    return Specimen(name, mutant.bug, _InMemory(store))


def of_store(store: type[ModelStore]) -> Specimen:
    """Give the specimen of a store that is a class."""
    return specimen(store, _InMemory(store))


class TheModel(ModelStore):
    """The model, of which each of these stores is one part done wrong."""
