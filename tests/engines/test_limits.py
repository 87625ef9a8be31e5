"""Limits per owner on every engine, by the engine's own clock: processes and threads that open sessions at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import pytest

from sessionguard import SessionGuard, SessionLimitError, SessionPolicy
from sessionguard.testing import Profile
from sessionguard.testing.faults import at_once, play_all
from tests.engines.conftest import SHARED, Engine

MOST = 3
THREADS = 2
POLICY = {
    "strict": SessionPolicy(max_active=MOST),
    "mild": SessionPolicy(max_active=MOST, on_limit="end_oldest"),
}


def _open(guard: SessionGuard, number: int, rounds: int) -> tuple[int, int]:
    """Open sessions one after the other; give how many were, and the most that were seen beside each other."""
    ways: list[Callable[[], object]] = [
        lambda: guard.create("ana", scope="strict"),
        lambda: guard.rotate(guard.create(scope="strict"), owner="ana"),
        lambda: guard.get_or_create("ana", scope="strict", external_id=f"{number}"),
    ]
    given = seen = 0
    for step in range(rounds):
        guard.create("ana", scope="mild")
        # All of them were created for ana, so one look sees one instant.
        seen = max(seen, len(list(guard.sessions(owner="ana", scope="mild"))))
        try:
            ways[(number + step) % 2]() if step else ways[2]()
        except SessionLimitError:
            continue
        given += 1
    return given, seen


def _work(pipe: Connection, url: str, number: int, rounds: int) -> list[tuple[int, int]]:
    with SessionGuard.open(url, policy=POLICY) as guard, ThreadPoolExecutor(THREADS) as pool:
        guard.sessions(owner="nobody")
        at_once(pipe)
        return list(pool.map(lambda thread: _open(guard, THREADS * number + thread, rounds), range(THREADS)))


@pytest.mark.parametrize("engine", SHARED, indirect=True)
def test_no_more_than_allowed_and_the_newest_stay(engine: Engine, sg_profile: Profile) -> None:
    """Exactly as many as allowed are not refused; where the oldest goes, never are more, and the newest stay."""
    workers = [(engine.url, number, sg_profile.rounds) for number in range(sg_profile.processes)]
    SessionGuard.open(engine.url, policy=POLICY).close()
    told = [pair for answers in play_all(_work, *workers) for pair in answers]
    assert sum(given for given, _ in told) == MOST
    assert max(seen for _, seen in told) <= MOST
    with SessionGuard.open(engine.url, policy=POLICY) as guard:
        assert len(list(guard.sessions(owner="ana", scope="strict"))) == MOST
        everyone = list(guard.sessions(owner="ana", scope="mild", status=None))
        left = [session.created_at for session in everyone if session.status == "active"]
        gone = [session.created_at for session in everyone if session.reason == "limit"]
    assert len(left) == MOST
    assert len(left) + len(gone) == len(everyone) == sg_profile.processes * THREADS * sg_profile.rounds
    assert max(gone) <= min(left)
