"""The file store: each verb finds its shard, reads it without a lock, and locks it only where something changes."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.findings import Finding
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of, shard_tag
from sessionguard.errors import MisuseError, StoreUnavailableError
from sessionguard.stores.file import (
    ballast,
    changes,
    cleaning,
    examination,
    fleet,
    leasing,
    limiting,
    listing,
    locks,
    openings,
)
from sessionguard.stores.file.folder import Folder, due_migrations
from sessionguard.stores.file.sessions import is_id, valid_id
from sessionguard.stores.file.shards import Shards
from sessionguard.stores.file.translation import FULL, UNWRITABLE, translated
from sessionguard.stores.file.views import Desk, View

C = TypeVar("C", bound=c.Command[Any])
R = TypeVar("R")

_ANY_SHARD: Final = "00"
_INLINE: Final[dict[type, Callable[[View, Any], object]]] = {
    c.Get: openings.find_record,
    c.GetOrCreate: openings.find_open,
    c.Load: openings.find_loaded,
}


class FileStore:
    """A `Store` with all abilities in one folder of a local disk; usable from any thread, and again after a fork.

    Acknowledged changes survive the death of any process, and a power cut. Reading waits for no writer. Every call
    may raise: `StoreTimeoutError`, others kept a part of the store locked for `patience_seconds`, and nothing was
    done; `StoreUnavailableError`, disk full, folder gone or permission lost; `StoreDataError`, a file is
    damaged, or the format newer than this release.
    """

    name = "file"
    limits_sessions = True

    def __init__(self, path: str | os.PathLike[str], *, patience_seconds: float = 5.0) -> None:
        # Absolute, for the process may change its working directory.
        self.path = os.path.abspath(os.fspath(path))
        self.patience_seconds = patience_seconds
        self._shards = Shards(self.path, patience_seconds)
        self._closed = False

    # Opening

    def identify(self, command: c.Identify) -> str:
        return self._whole(lambda shards, _: shards.folder.deployment_id, command)

    def create(self, command: c.Create) -> c.Opened:
        return self._open(openings.create, command)

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        shard = shard_of(valid_id(command.new.id))
        return self._read(shard, openings.find_open, command) or self._open(openings.get_or_create, command)

    def replace(self, command: c.Replace) -> c.Opened:
        return self._open(openings.replace, command)

    # Reading

    def load(self, command: c.Load) -> c.Loaded:
        shard = _shard_of_token(command.token_hash)
        loaded = self._read(shard, openings.find_loaded, command)
        if loaded is not None:
            return loaded
        try:
            return self._change({shard}, shard, openings.load_and_touch, command)
        except StoreUnavailableError as error:
            if _number_of(error) not in UNWRITABLE:
                raise
            # That it was seen cannot be written down; whether it may be used is read once more.
            return self._read(shard, openings.find_loaded_untouched, command)

    def get(self, command: c.Get) -> SessionRecord | None:
        return self._read(_shard_of_id(command.session_id), openings.find_record, command)

    def page(self, command: c.Page) -> c.PageOfRecords:
        return self._whole(listing.page, command)

    def answer_inline(self, command: c.Command[c.R]) -> c.R | None:
        """Give the reply to a read that needs no write, or None."""
        self._require_open()
        with translated(command.verb):
            if isinstance(command, c.Identify):
                folder = self._shards.opened_folder()
                return None if folder is None else cast("c.R", folder.deployment_id)
            work = _INLINE.get(type(command))
            if work is None:
                return None
            return cast("c.R | None", self._shards.read_at_once(_shard_of(command), lambda view: work(view, command)))

    # Changing one session

    def save(self, command: c.Save) -> c.Changed:
        return self._change_one(changes.save, command)

    def touch(self, command: c.Touch) -> c.Changed:
        return self._change_one(changes.touch, command)

    def rotate(self, command: c.Rotate) -> c.Changed:
        if command.owner is not None and command.at_most is not None:
            return self._within_limit(_shard_of_id(command.session_id), command.owner, changes.rotate, command)
        # Whoever ends all sessions of the new owner holds the home shard: none is added meanwhile.
        return self._change_one(changes.rotate, command, self._homes(command.owner))

    def end(self, command: c.End) -> c.Changed:
        return self._with_room(lambda: self._change_one(changes.end, command))

    # Changing many

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        return self._with_room(lambda: self._whole(cleaning.end_owner, command))

    def sweep(self, command: c.Sweep) -> c.Ended:
        return self._with_room(lambda: self._whole(cleaning.sweep, command))

    def purge(self, command: c.Purge) -> c.Purged:
        purged = self._with_room(lambda: self._whole(cleaning.purge, command))
        # It is done and told, whatever becomes of the room.
        folder = self._folder_at_hand()
        if folder is not None:
            ballast.keep(folder)
        return purged

    # Cleaning up

    def census(self, command: f.Census) -> f.Counted:
        return self._whole(fleet.census, command)

    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        return self._whole(fleet.find_due, command)

    def take_turn(self, command: f.TakeTurn) -> Outcome:
        return self._change({fleet.SHARD}, fleet.SHARD, fleet.take_turn, command)

    def give_turn(self, command: f.GiveTurn) -> Outcome:
        return self._change({fleet.SHARD}, fleet.SHARD, fleet.give_turn, command)

    # Locks

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        return self._change_one(locks.acquire, command)

    def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        return self._change_one(locks.renew, command)

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return self._change_one(locks.release, command)

    # Leases

    def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        return self._change_one(leasing.hold, command)

    def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        return self._with_room(lambda: self._change_one(leasing.release, command))

    def leased_until(self, command: le.FindLease) -> int | None:
        return self._read(_shard_of_id(command.session_id), leasing.find, command)

    # Surroundings

    def examine(self) -> list[Finding]:
        """Examine the folder, its place, its format and its journals; changes nothing."""
        self._require_open()
        with translated("examine"):
            return examination.examine(self.path)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Bring the format up to date and name what was applied, or with `dry_run` only what would be."""
        self._require_open()
        with translated("migrate"):
            due = due_migrations(self.path)
        if not dry_run:
            # The first use makes the folder.
            self.identify(c.Identify())
        return due

    def distrust(self) -> None:
        """Let the folder go and open it again: no descriptor of before is used."""
        self._shards.forget()

    def close(self) -> None:
        """Let the folder go. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._closed = True
        self._shards.forget()

    # How a verb reaches the files

    def _require_open(self) -> None:
        if self._closed:
            raise MisuseError("the file store is closed; open a new one")

    def _whole(self, work: Callable[[Shards, C], R], command: C) -> R:
        self._require_open()
        with translated(command.verb):
            return work(self._shards, command)

    def _read(self, shard: str, work: Callable[[View, C], R], command: C) -> R:
        self._require_open()
        with translated(command.verb):
            return self._shards.read(shard, lambda view: work(view, command))

    def _change(self, shards: set[str], shard: str, work: Callable[[Desk, C], R], command: C) -> R:
        self._require_open()
        with translated(command.verb), self._shards.changing(command.verb, shards) as locked:
            reply = work(locked[shard].desk, command)
            locked[shard].commit()
            return reply

    def _open(self, work: Callable[..., c.Opened], command: c.Create | c.GetOrCreate | c.Replace) -> c.Opened:
        shard = shard_of(valid_id(command.new.id))
        if command.at_most is not None:
            return self._within_limit(shard, command.new.owner, work, command)
        return self._change({shard} | self._homes(command.new.owner), shard, work, command)

    def _within_limit(self, shard: str, owner: str, work: Callable[..., R], command: Any) -> R:
        self._require_open()
        with translated(command.verb):
            return limiting.within_limit(self._shards, shard, owner, command.at_most, work, command)

    def _change_one(self, work: Callable[[Desk, Any], R], command: Any, others: frozenset[str] = frozenset()) -> R:
        shard = _shard_of_id(command.session_id)
        return self._change({shard} | others, shard, work, command)

    def _homes(self, owner: str | None) -> frozenset[str]:
        if owner is None:
            return frozenset()
        return frozenset({shard_tag(self.identify(c.Identify()), owner)})

    def _with_room(self, call: Callable[[], R]) -> R:
        try:
            return call()
        except StoreUnavailableError as error:
            folder = self._folder_at_hand() if _number_of(error) in FULL else None
            if folder is None or not ballast.release(folder):
                raise
            return call()

    def _folder_at_hand(self) -> Folder | None:
        with suppress(OSError):
            return self._shards.opened_folder()
        return None


def _number_of(error: StoreUnavailableError) -> int | None:
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None


def _shard_of_id(session_id: str) -> str:
    # What is no id names no file; it is unknown in any shard.
    return shard_of(session_id) if is_id(session_id) else _ANY_SHARD


def _shard_of_token(token_hash: bytes) -> str:
    return shard_of(token_hash) or _ANY_SHARD


def _shard_of(command: object) -> str:
    if isinstance(command, c.GetOrCreate):
        return shard_of(valid_id(command.new.id))
    return _shard_of_token(command.token_hash) if isinstance(command, c.Load) else _shard_of_id(command.session_id)  # type: ignore[attr-defined]
