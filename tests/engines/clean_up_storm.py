"""The processes of the storm over clean-up: they use sessions of any owner, and write down whatever is not right."""

import mmap
import os
import random
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from sessionguard import Session, SessionEndedError, SessionGuard, SessionPolicy
from sessionguard.core.events import Event, SessionExpired, WorkspaceRemoved
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.errors import LeaseLostError, StoreTimeoutError
from sessionguard.testing.faults import ChildProcess

IDLE: Final = timedelta(seconds=2)
CANARY: Final = "canary.txt"
POLICY: Final = SessionPolicy(idle_timeout=IDLE, touch_interval=timedelta(0))
COUNTED: Final = ("requests", "holds", "begun", "passes", "expired", "removed", "deferred")
_NUMBERS: Final = struct.Struct(f"{len(COUNTED)}q")


@frozen
class Stage:
    """Where a storm rages, as each of its processes is told."""

    url: str
    workspaces: str
    folder: Path
    """Where complaints and counts are written down."""
    owners: int
    workers: int
    environment: Mapping[str, str]

    def opened(self, **options: Any) -> SessionGuard:
        """Open a guard as an application does, without a brake: here nearly everything expires, again and again."""
        os.environ.update(self.environment)
        settings: dict[str, Any] = {"brake": None, "patience": timedelta(seconds=30)}
        return SessionGuard.open(self.url, self.workspaces, POLICY, **settings | options)

    def complaints(self) -> str:
        """Give what was written down."""
        return "".join(path.read_text() for path in self.folder.glob("*.complaints"))

    def counts(self) -> dict[str, int]:
        """Add up what all processes counted, also those that were killed."""
        rows = [_NUMBERS.unpack(path.read_bytes()) for path in self.folder.glob("*.counts")]
        return dict(zip(COUNTED, map(sum, zip(*rows, strict=True)), strict=True))


class Ledger:
    """What one process counts and complains of; a kill loses nothing of it."""

    def __init__(self, stage: Stage, number: int) -> None:
        self._path = stage.folder / f"{number}.complaints"
        counts = stage.folder / f"{number}.counts"
        counts.write_bytes(bytes(_NUMBERS.size))
        with counts.open("r+b") as file:
            # Shared with the file: what is written here is there, whatever becomes of the process.
            self._memory = mmap.mmap(file.fileno(), _NUMBERS.size)
        self._lock = threading.Lock()

    def count(self, name: str) -> None:
        """Count one more."""
        with self._lock:
            numbers = list(_NUMBERS.unpack_from(self._memory))
            numbers[COUNTED.index(name)] += 1
            _NUMBERS.pack_into(self._memory, 0, *numbers)

    def complain(self, text: str) -> None:
        """Write it down at once."""
        with self._lock, self._path.open("a") as file:
            file.write(f"{text}\n")

    def hear(self, event: Event) -> None:
        """Count what the clean-up did."""
        if isinstance(event, SessionExpired):
            self.count("expired")
        elif isinstance(event, WorkspaceRemoved):
            self.count("deferred" if event.is_deferred else "removed")


@define
class Worker:
    """Uses sessions of any owner, and complains of whatever is not as it was left."""

    guard: SessionGuard
    owners: int
    ledger: Ledger
    seed: int
    _draw: random.Random = field(init=False)
    _held_since: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._draw = random.Random(self.seed)

    def work(self, stop: threading.Event) -> None:
        """Go on until told to stop."""
        while not stop.is_set():
            owner = f"owner-{self._draw.randrange(self.owners)}"
            try:
                self._serve(owner)
            except (SessionEndedError, StoreTimeoutError):
                # It expired, or another ended it or was quicker.
                continue
            except LeaseLostError as error:
                # As it began; or it stood still for longer than a lease lasts. Else somebody took what was in use.
                is_late = self._held_since is None or time.monotonic() - self._held_since >= LEASE_SECONDS
                self._check(is_late, f"{owner}: lost what was in use: {error}")
            except Exception as error:
                self.ledger.complain(f"{owner}: {type(error).__name__}: {error}")

    def _serve(self, owner: str) -> None:
        self._held_since = None
        session = self.guard.get_or_create(owner, data={"canary": owner})
        self._check(session.data.get("canary") == owner, f"data of {session.data.get('canary')} for {owner}")
        if self._draw.random() < 0.3:
            with self.guard.hold(session) as hold:
                self._use(session)
                hold.check()
                self.ledger.count("holds")
        else:
            self._use(session)
        self.ledger.count("requests")
        self._part(session)

    def _use(self, session: Session) -> None:
        began, canary = time.monotonic(), f"{session.owner} {session.id}"
        with self.guard.workspace(session) as files:
            self._held_since = began
            found = files.read(CANARY).decode() if CANARY in files.list() else None
            # The files of a former session of the same owner are foreign, too.
            self._check(found in (None, canary), f"files of {found} for {canary}")
            self._check(
                found == canary or "filed" not in session.data, f"{session.id}: files of a live session are gone"
            )
            files.write(CANARY, canary)
            with suppress(SessionEndedError):
                self.guard.save(session, {"filed": True})
            # Whoever ended it meanwhile: as long as they are in use they stay.
            self._check(CANARY in files.list() and files.read(CANARY).decode() == canary, f"{session.id}: files gone")
            known = self.guard.get(session.id)
            is_early = time.monotonic() - began < IDLE.total_seconds() / 2
            is_expired = known is None or known.reason == "expired"
            self._check(not (is_early and is_expired), f"{session.id}: a live session was swept")

    def _part(self, session: Session) -> None:
        chance = self._draw.random()
        if chance < 0.15:
            self.guard.end(session)
        elif chance < 0.25:
            new = self.guard.replace(session.owner, data={"canary": session.owner})
            with self.guard.workspace(new) as files:
                own = f"{new.owner} {new.id}"
                self._check(files.list() == [] or files.read(CANARY).decode() == own, f"{new.id}: a used workspace")

    def _check(self, is_right: bool, complaint: str) -> None:
        if not is_right:
            self.ledger.complain(complaint)


def rage(pipe: Connection, stage: Stage, number: int) -> None:
    """Let workers and a sweeper loose until the parent says stop."""
    ledger = Ledger(stage, number)
    with stage.opened(sweep_interval=timedelta(milliseconds=300)) as guard:
        guard.subscribe(ledger.hear)
        _count_passes(guard, ledger)
        stop = threading.Event()
        hands = [Worker(guard, stage.owners, ledger, number * 1000 + hand) for hand in range(stage.workers)]
        threads = [threading.Thread(target=hand.work, args=(stop,), daemon=True) for hand in hands]
        for thread in threads:
            thread.start()
        pipe.send("ready")
        pipe.recv()
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a worker hangs"


def _count_passes(guard: SessionGuard, ledger: Ledger) -> None:
    sweep = guard._sweep_in_background

    def counted(*, is_first: bool) -> Any:
        if is_first:
            ledger.count("begun")
        report = sweep(is_first=is_first)
        if is_first and not report.yielded:
            ledger.count("passes")
        return report

    guard._sweep_in_background = counted  # type: ignore[method-assign]


class Storm:
    """Processes that work and are killed at random, each time replaced by another."""

    def __init__(self, stage: Stage, seconds: float, *, processes: int) -> None:
        self._stage, self._seconds, self._processes = stage, seconds, processes
        self._children: list[ChildProcess] = []
        self._started = 0
        self.kills = 0

    def play(self) -> None:
        """Rage for so long, and until one was killed; then let all others end."""
        draw = random.Random(5)
        try:
            self._children = [self._start() for _ in range(self._processes)]
            for child in self._children:
                child.hear()
            deadline = time.monotonic() + self._seconds
            while not self.kills or time.monotonic() < deadline:
                time.sleep(draw.uniform(0.2, 1.0))
                victim = draw.randrange(self._processes)
                self._children[victim].close()
                self.kills += 1
                self._children[victim] = self._start()
                self._children[victim].hear()
            for child in self._children:
                child.tell("stop")
            for child in self._children:
                child.finish()
        finally:
            for child in self._children:
                child.close()

    def _start(self) -> ChildProcess:
        self._started += 1
        return ChildProcess(rage, self._stage, self._started)
