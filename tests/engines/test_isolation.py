"""T06: many owners at once on every engine, each with a canary in its data and its files: nobody meets another's."""

import secrets
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sessionguard import Session, SessionGuard
from sessionguard.testing import Profile
from sessionguard.testing.faults import at_once, play_all
from tests.engines.conftest import SHARED, Engine

THREADS = 4


class Owner:
    """One owner, who knows what is his, and counts what is not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.canary = secrets.token_hex(16)
        self.session: Session | None = None
        self.steps = 0

    def step(self, guard: SessionGuard) -> None:
        """Open or load the session, look at what is in it, and write something more."""
        if self.session is None or self.session.token is None:
            self.session = guard.replace(self.name, data={"canary": self.canary, "steps": 0})
            self.token = self.session.token
        session = guard.load(self.token)
        assert session is not None, f"{self.name} has lost the session"
        assert session.owner == self.name
        assert session.data["canary"] == self.canary, f"{self.name} sees {session.data['canary']}"
        guard.save(session, {"steps": self.steps})
        if self.steps % 5 == 0:
            with guard.workspace(session) as files:
                if self.steps:
                    assert files.read("canary") == self.canary.encode()
                files.write("canary", self.canary)
        self.steps += 1


def _work(pipe: Connection, url: str, work: str, seconds: float, owners: int) -> int:
    at_once(pipe)
    with SessionGuard.open(url, workspaces=work) as guard:
        failures: list[BaseException] = []
        counts: list[int] = []
        until = time.monotonic() + seconds

        def run(number: int) -> None:
            mine = [Owner(f"owner-{secrets.token_hex(6)}") for _ in range(max(1, owners // THREADS))]
            try:
                while time.monotonic() < until:
                    for owner in mine:
                        owner.step(guard)
            except BaseException as error:
                failures.append(error)
            counts.append(sum(owner.steps for owner in mine))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return sum(counts)


@pytest.mark.processes
@pytest.mark.parametrize("engine", SHARED, indirect=True)
def test_t06_nobody_meets_a_foreign_canary(engine: Engine, tmp_path: Path, sg_profile: Profile) -> None:
    """Processes and threads work on sessions and files of many owners while another one sweeps: 0 foreign canaries."""
    owners = 500 if sg_profile.name == "deep" else 40
    processes = sg_profile.processes
    arguments = (engine.url, str(tmp_path / "work"), sg_profile.seconds, owners // processes)
    steps = play_all(_work, *[arguments] * processes)
    assert min(steps) > 0
