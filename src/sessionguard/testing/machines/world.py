"""What the model of the machine knows: all sessions with their files and locks, as values that never change.

It is written apart from every store and from the flows, plainly: a tuple of sessions in which everything is searched.
"""

import json
from functools import lru_cache
from typing import Any, Final

import attrs
from attrs import evolve, frozen

from sessionguard.core.records import Lifetime, SessionRecord

Slot = tuple[str, str, str | None]
File = tuple[str, bytes]

LEASE_US: Final = 15_000_000


class Refuted(AssertionError):  # it is no error of the program: it says what cannot be
    """What was told cannot come from this world; the message says why."""


def require(condition: object, reason: str) -> None:
    """Return if it holds, else raise `Refuted` with the reason."""
    if not condition:
        raise Refuted(reason)


@frozen
class Entry:
    """One session: its record, with the fields of its data in order, and what the record does not show."""

    record: SessionRecord
    lifetime: Lifetime
    files: tuple[File, ...] = ()
    leases: int = 0
    """How many workspaces of it are lent out."""


@frozen
class Lock:
    """A lock: its last fence, and who holds it until when."""

    session_id: str
    name: str
    fence: int = 0
    holder: int | None = None
    until_us: int = 0


@frozen
class World:
    """All there is. Every change gives another world."""

    entries: tuple[Entry, ...] = ()
    """In the order of their ids."""
    generations: tuple[tuple[Slot, int], ...] = ()
    """The last generation of each slot."""
    locks: tuple[Lock, ...] = ()
    forgotten: frozenset[str] = frozenset()
    """Ids of sessions that were purged."""

    def find(self, session_id: str) -> Entry | None:
        """Give the session with this id."""
        return next((entry for entry in self.entries if entry.record.id == session_id), None)

    def usable(self, session_id: str, now_us: int) -> Entry | None:
        """Give the session if it is neither ended nor expired."""
        entry = self.find(session_id)
        return entry if entry is not None and is_active(entry.record, now_us) else None

    def holder(self, slot: Slot) -> Entry | None:
        """Give the session that holds the slot, expired or not."""
        for entry in self.entries:
            if entry.record.exclusive and entry.record.reason is None and slot_of(entry.record) == slot:
                return entry
        return None

    def generation(self, slot: Slot) -> int:
        """Give the last generation of the slot."""
        return dict(self.generations).get(slot, 0)

    def lock(self, session_id: str, name: str) -> Lock:
        """Give the lock of this name."""
        found = (lock for lock in self.locks if (lock.session_id, lock.name) == (session_id, name))
        return next(found, Lock(session_id, name))

    def with_entry(self, entry: Entry) -> "World":
        """Give the world in which this session is so."""
        others = (other for other in self.entries if other.record.id != entry.record.id)
        return evolve(self, entries=tuple(sorted((*others, entry), key=_by_id)))

    def with_record(self, record: SessionRecord) -> "World":
        """Give the world in which the record of this session is so."""
        entry = self.find(record.id)
        assert entry is not None
        return self.with_entry(evolve(entry, record=record))

    def with_generation(self, slot: Slot, generation: int) -> "World":
        """Give the world in which this was the last generation of the slot."""
        return evolve(self, generations=tuple(sorted({**dict(self.generations), slot: generation}.items(), key=str)))

    def with_lock(self, lock: Lock) -> "World":
        """Give the world in which the lock is so."""
        kept = (other for other in self.locks if (other.session_id, other.name) != (lock.session_id, lock.name))
        return evolve(self, locks=tuple(sorted((*kept, lock), key=lambda one: (one.session_id, one.name))))

    def with_end(self, session_id: str, reason: str, now_us: int) -> "World":
        """Give the world in which the session has ended now; its files are gone, unless they are lent out."""
        entry = self.find(session_id)
        assert entry is not None
        files = entry.files if entry.leases else ()
        return self.with_entry(evolve(entry, record=ended(entry, reason, now_us), files=files))

    def without(self, session_ids: frozenset[str]) -> "World":
        """Give the world that has forgotten these sessions."""
        kept = tuple(entry for entry in self.entries if entry.record.id not in session_ids)
        return evolve(self, entries=kept, forgotten=self.forgotten | session_ids)

    def describe(self) -> str:
        """Give its sessions, one a line."""
        return "\n".join(map(_described, self.entries)) or "no session"


def _by_id(entry: Entry) -> str:
    return entry.record.id


def slot_of(record: SessionRecord) -> Slot:
    """Give the slot that a session is in, if it is in one."""
    return (record.scope, record.owner, record.external_id)


def is_active(record: SessionRecord, now_us: int) -> bool:
    """Tell whether the session may be used. At the very instant of its deadline it may not."""
    return record.reason is None and now_us < record.expires_us


def settled(record: SessionRecord, now_us: int) -> SessionRecord:
    """Give the record as a reader must see it: who has expired has ended, at the instant of its deadline."""
    if record.reason is not None or now_us < record.expires_us:
        return record
    return evolve(record, reason="expired", ended_us=record.expires_us)


def ended(entry: Entry, reason: str, now_us: int) -> SessionRecord:
    """Give the record of the session as history."""
    ended_us = entry.record.expires_us if reason == "expired" else now_us
    data = entry.record.data if entry.lifetime.keeps_data else "{}"
    return evolve(entry.record, reason=reason, ended_us=ended_us, data=data)


def seen(entry: Entry, now_us: int) -> SessionRecord:
    """Give the record of the session as it was just seen; a clock that went back shortens nothing."""
    seen_us = max(entry.record.last_seen_us, now_us)
    expires_us = min(seen_us + entry.lifetime.idle_us, entry.record.absolute_us)
    return evolve(entry.record, last_seen_us=seen_us, expires_us=expires_us)


def seen_when_due(entry: Entry, now_us: int) -> SessionRecord:
    """Give the record as it was just seen, if that is worth a write."""
    return seen(entry, now_us) if now_us - entry.record.last_seen_us >= entry.record.touch_us else entry.record


def agree(expected: SessionRecord, told: object) -> None:
    """Return if the record that was told is the expected one, else raise `Refuted` with what differs."""
    require(isinstance(told, SessionRecord), f"a session was expected, not {told!r}")
    assert isinstance(told, SessionRecord)
    plain = in_order(told)
    if plain != expected:
        differing = (name for name in _FIELDS if getattr(plain, name) != getattr(expected, name))
        raise Refuted(
            "; ".join(f"{name} is {getattr(plain, name)!r}, not {getattr(expected, name)!r}" for name in differing)
        )


_FIELDS: Final = tuple(field.name for field in attrs.fields(SessionRecord))


def in_order(record: SessionRecord) -> SessionRecord:
    """Give the record with the fields of its data in order."""
    return evolve(record, data=ordered(record.data))


@lru_cache(maxsize=4096)
def ordered(data: str) -> str:
    """Give a JSON object with its fields in order, so that equal ones are equal texts: 1, 1.0 and true are not."""
    return text_of(json.loads(data))


def text_of(value: Any) -> str:
    """Give a JSON value as text, in the one form by which data are compared."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _described(entry: Entry) -> str:
    record = entry.record
    state = "active" if record.reason is None else f"ended ({record.reason})"
    slot = " in its slot" if record.exclusive else ""
    about = f"  {record.id[-6:]} {record.scope!a}/{record.owner!a}/{record.external_id} {state}{slot}"
    until = f"until {record.expires_us}" if record.reason is None else f"at {record.ended_us}"
    files = f" files {[name for name, _ in entry.files]}" if entry.files else ""
    return f"{about} {until} v{record.version} {record.data}{files}{' lent' * entry.leases}"
