"""Eight clients that count in one session at once, over real HTTP and in two processes: nothing is lost silently."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from sessionguard.testing.profile import Profile
from tests.adapters.served.fronts import Front
from tests.adapters.served.gates import SECONDS
from tests.adapters.served.visitors import Visitor

pytestmark = pytest.mark.processes

CLIENTS = 8
INCREMENTS = {"ci": 10, "deep": 50}
"""How often each client counts: 400 in all where the counts are those that the promise names."""


def count(visitor: Visitor, mode: str, fields: list[str], times: int) -> list[int]:
    """Let one client for each of `fields` count it up, all at once; gives the statuses of all answers."""
    start = Barrier(len(fields), timeout=SECONDS)

    def run(field: str) -> list[int]:
        start.wait()
        return [visitor.post(f"/count/{mode}", field=field).status_code for _ in range(times)]

    with ThreadPoolExecutor(len(fields)) as pool:
        return [status for statuses in pool.map(run, fields) for status in statuses]


@pytest.fixture
def times(sg_profile: Profile) -> int:
    """How often each client counts."""
    return INCREMENTS[sg_profile.name]


def test_serial_keeps_every_increment(front: Front, visitor: Visitor, times: int) -> None:
    """Of one value that all count up one after the other, every increment is kept."""
    assert count(visitor, "serial", ["n"] * CLIENTS, times) == [200] * CLIENTS * times
    assert visitor.get("/me").json()["data"] == {"n": CLIENTS * times}


def test_strict_keeps_or_refuses_every_increment(front: Front, visitor: Visitor, times: int) -> None:
    """Of one value that all count up side by side, every increment is kept or answered 409."""
    statuses = count(visitor, "strict", ["n"] * CLIENTS, times)
    assert set(statuses) <= {200, 409}
    assert visitor.get("/me").json()["data"] == {"n": statuses.count(200)}


def test_merge_keeps_different_fields(front: Front, visitor: Visitor, times: int) -> None:
    """Of values of their own that all count up side by side, every increment is kept."""
    fields = [f"n{number}" for number in range(CLIENTS)]
    assert count(visitor, "merge", fields, times) == [200] * CLIENTS * times
    assert visitor.get("/me").json()["data"] == dict.fromkeys(fields, times)
