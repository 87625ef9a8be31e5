"""What the model keeps, and the few things that all its verbs need."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from attrs import define, evolve, field, frozen

from sessionguard.core.instants import to_us
from sessionguard.core.records import Lifetime, NewSession, SessionRecord
from sessionguard.core.visitors import is_taken
from sessionguard.errors import MisuseError

Slot = tuple[str, str, str | None]


@define
class LeaseHeld:
    """How one holder holds a session."""

    fence: int
    until_us: int


@define
class Entry:
    """A session with what its record does not show."""

    record: SessionRecord
    lifetime: Lifetime
    operations: list[str] = field(factory=list)
    leases: dict[str, LeaseHeld] = field(factory=dict)
    lease_count: int = 0


@define
class Holding:
    """A lock: its last fence, who holds it until when, and who gave it back with which fence."""

    fence: int = 0
    holder: str | None = None
    until_us: int = 0
    released: dict[str, int] = field(factory=dict)


@frozen
class Answer:
    """What was answered to an operation on many sessions, and when."""

    at_us: int
    session_ids: tuple[str, ...] = ()
    count: int = 0
    has_more: bool = False


class ModelBase:
    """Sessions in one dict, with one lock."""

    name = "model"
    limits_sessions = True

    def __init__(self) -> None:
        self.lock = threading.Condition(threading.Lock())
        self.deployment_id = "0123456789abcdef" * 2
        self.entries: dict[str, Entry] = {}
        self.generations: dict[Slot, int] = {}
        self.holdings: dict[tuple[str, str], Holding] = {}
        self.answers: dict[str, Answer] = {}
        self.turns: dict[str, tuple[str, int, int]] = {}
        self.closed = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold the lock for one command."""
        with self.lock:
            if self.closed:
                raise MisuseError("the model is closed; make a new one")
            yield

    def slot(self, session: NewSession | SessionRecord) -> Slot:
        """Give what two sessions must share to be in one slot."""
        return (session.scope, session.owner, session.external_id)

    def is_over(self, record: SessionRecord, now_us: int) -> bool:
        """Tell whether its time is over."""
        return now_us >= record.expires_us

    def usable(self, session_id: str, now_us: int) -> Entry | None:
        """Give the session if it may be changed: known, not ended, not expired."""
        entry = self.entries.get(session_id)
        if entry is None or entry.record.reason is not None or self.is_over(entry.record, now_us):
            return None
        return entry

    def is_taken(self, record: SessionRecord, command: Any) -> bool:
        """Tell whether a visitor's session has received its owner since the caller knew it."""
        return is_taken(record, command.meant)

    def has_done(self, entry: Entry, command: Any) -> bool:
        """Tell whether this very command was done to the session before."""
        return command.operation_id in entry.operations

    def remember(self, entry: Entry, operation_id: str) -> None:
        """Let the command be recognised if it comes again."""
        entry.operations.append(operation_id)

    def finish(self, entry: Entry, reason: str, now_us: int, operation_id: str) -> SessionRecord:
        """End the session for this reason."""
        ended_us = entry.record.expires_us if reason == "expired" else now_us
        data = entry.record.data if entry.lifetime.keeps_data else "{}"
        entry.record = evolve(entry.record, reason=reason, ended_us=ended_us, data=data)
        self.remember(entry, operation_id)
        return entry.record

    def last_lapse(self, entry: Entry, now_us: int) -> int:
        """Give when the last lease lapses that has not; 0 if there is none."""
        return max((one.until_us for one in entry.leases.values() if now_us < one.until_us), default=0)

    def distrust(self) -> None:
        """There is no connection to drop."""

    def close(self) -> None:
        """Refuse everything from now on."""
        self.closed = True


def now(command: Any) -> int:
    """Give the instant of a command in microseconds; the model needs one, or the host's clock."""
    instant: datetime | None = command.at
    return to_us(instant or datetime.now().astimezone())
