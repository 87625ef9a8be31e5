"""The storm over clean-up: a canary per owner in data and files, while sessions expire, end and are killed."""

import random
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sessionguard import Session, SessionEndedError, SessionGuard, SessionPolicy
from sessionguard.errors import LeaseLostError, StoreTimeoutError
from sessionguard.testing import ChildProcess, Profile
from tests.engines.conftest import Engine

IDLE = timedelta(seconds=2)
CANARY = "canary.txt"
POLICY = SessionPolicy(idle_timeout=IDLE, touch_interval=timedelta(0))


def opened(url: str, work: Path, **options: Any) -> SessionGuard:
    """Open a guard as an application does, without a brake: here nearly everything expires, again and again."""
    return SessionGuard.open(url, work, POLICY, brake=None, patience=timedelta(seconds=30), **options)


class Worker:
    """Uses sessions of any owner, and complains of whatever is not as it was left."""

    def __init__(self, guard: SessionGuard, owners: int, complain: Any, seed: int) -> None:
        self._guard, self._owners, self._complain = guard, owners, complain
        self._draw = random.Random(seed)
        self.uses = 0

    def work(self, stop: threading.Event) -> None:
        """Go on until told to stop."""
        while not stop.is_set():
            owner = f"owner-{self._draw.randrange(self._owners)}"
            try:
                self._use(owner)
                self.uses += 1
            except (SessionEndedError, LeaseLostError, StoreTimeoutError):
                # It expired, or another ended it or was quicker.
                continue
            except Exception as error:
                self._complain(f"{owner}: {type(error).__name__}: {error}")

    def _use(self, owner: str) -> None:
        session = self._guard.get_or_create(owner, data={"canary": owner})
        self._check(session.data.get("canary") == owner, f"data of {session.data.get('canary')} for {owner}")
        with self._guard.workspace(session) as files:
            began = time.monotonic()
            found = files.read(CANARY).decode() if CANARY in files.list() else None
            self._check(found in (None, owner), f"files of {found} for {owner}")
            self._check(
                found == owner or "filed" not in session.data, f"{session.id}: files of a live session are gone"
            )
            files.write(CANARY, owner)
            self._guard.save(session, {"filed": True})
            self._check(files.read(CANARY).decode() == owner, f"{session.id}: files in use are gone")
            known = self._guard.get(session.id)
            early = time.monotonic() - began < IDLE.total_seconds() / 2
            expired = known is None or known.reason == "expired"
            self._check(not (early and expired), f"{session.id}: a live session was swept")
        self._part(session)

    def _part(self, session: Session) -> None:
        chance = self._draw.random()
        if chance < 0.1:
            self._guard.end(session)
        elif chance < 0.2:
            new = self._guard.replace(session.owner, data={"canary": session.owner})
            with self._guard.workspace(new) as files:
                self._check(files.list() == [] or files.read(CANARY).decode() == session.owner, "a used workspace")

    def _check(self, is_right: bool, complaint: str) -> None:
        if not is_right:
            self._complain(complaint)


def use_all(pipe: Connection, url: str, work: Path, journal: Path, owners: int, workers: int, seed: int) -> int:
    """Let threads loose until the parent says stop; complaints outlive a kill, for each is written down at once."""
    lock = threading.Lock()

    def complain(text: str) -> None:
        with lock, journal.open("a") as file:
            file.write(f"{text}\n")

    with opened(url, work, sweep_interval=timedelta(milliseconds=300)) as guard:
        stop = threading.Event()
        hands = [Worker(guard, owners, complain, seed * 1000 + number) for number in range(workers)]
        threads = [threading.Thread(target=hand.work, args=(stop,), daemon=True) for hand in hands]
        for thread in threads:
            thread.start()
        pipe.send("ready")
        pipe.recv()
        stop.set()
        for thread in threads:
            thread.join(60)
    return sum(hand.uses for hand in hands)


def directories(work: Path) -> set[str]:
    """Give the ids of the sessions that have a directory."""
    return {path.name for path in work.glob("*/[0-9a-f][0-9a-f]/*")}


def left_behind(work: Path) -> list[str]:
    """Give what is in the trash or marked for removal."""
    return [path.name for folder in (".trash", ".pending") for path in work.glob(f"*/{folder}/*")]


@pytest.mark.processes
@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_clean_up_harms_nobody_and_leaves_nothing(engine: Engine, tmp_path: Path, sg_profile: Profile) -> None:
    """Nobody sees another's canary, nothing that lives is removed, and the next pass leaves no orphan."""
    is_deep = sg_profile.name == "deep"
    owners, workers, seconds = (500, 16, 60.0) if is_deep else (40, 4, 2.0)
    work, journal = tmp_path / "work", tmp_path / "complaints"
    opened(engine.url, work, sweep_interval=None).create("first", data={})
    draw, killed = random.Random(5), 0
    with ExitStack() as stack:

        def start(seed: int) -> ChildProcess:
            child = stack.enter_context(ChildProcess(use_all, engine.url, work, journal, owners, workers, seed))
            child.hear()
            return child

        children = [start(seed) for seed in range(4)]
        deadline = time.monotonic() + seconds
        while killed < 2 or time.monotonic() < deadline:
            time.sleep(draw.uniform(0.3, 1.0))
            victim = draw.randrange(len(children))
            children[victim].kill()
            killed += 1
            children[victim] = start(100 + killed)
        for child in children:
            child.tell("stop")
        uses = sum(child.finish() for child in children)
    assert not journal.exists(), journal.read_text()
    assert uses > 50
    now = datetime.now(UTC)
    # At one instant, so that nothing expires between the pass and the look at what it left.
    with opened(engine.url, work, sweep_interval=None, clock=lambda: now) as guard:
        guard.sweep(10_000)
        living = {session.id for session in guard.sessions()}
        assert directories(work) <= living
        assert left_behind(work) == []
        for number in range(owners):
            guard.end_owner(f"owner-{number}")
        assert directories(work) == set()
