"""T57: one wrong clock expires nobody. A server's clock decides where there is one; a wrong host is not heard."""

from datetime import timedelta

import pytest

from sessionguard import SessionPolicy
from sessionguard.testing.faults import wrong_clock
from tests.engines.conftest import OWN_CLOCK, Engine, OpenGuard

HOUR = timedelta(hours=1)
POLICY = SessionPolicy(idle_timeout=timedelta(minutes=20), absolute_timeout=timedelta(hours=2))


@pytest.mark.parametrize("engine", OWN_CLOCK, indirect=True)
@pytest.mark.parametrize("offset", [-HOUR, 10 * 365 * 24 * HOUR], ids=["behind", "ten years ahead"])
def test_t57_a_host_with_a_wrong_clock_expires_nobody(engine: Engine, open_guard: OpenGuard, offset: timedelta) -> None:
    """Its sessions live as long as those of all other hosts, and its sweep ends nobody."""
    guard = open_guard(policy=POLICY)
    before = guard.get_or_create("ada")
    with wrong_clock(offset):
        assert guard.get_or_create("ada").id == before.id
        assert guard.load(before.token) is not None
        other = guard.get_or_create("bea")
        assert guard.sweep().ended == 0
    assert abs(other.expires_at - before.expires_at) < timedelta(minutes=1)
    assert guard.load(other.token) is not None
    assert guard.sweep().ended == 0


@pytest.mark.parametrize("engine", ["memory", "sqlite", "file"], indirect=True)
def test_t57_a_clock_that_goes_back_makes_nobody_immortal(engine: Engine, open_guard: OpenGuard) -> None:
    """On an engine that goes by the host's clock, a session opened under a clock an hour ahead ends by its deadline."""
    guard = open_guard(policy=POLICY)
    with wrong_clock(HOUR):
        session = guard.get_or_create("ada")
    touched = guard.touch(session)
    assert touched.expires_at <= session.created_at + POLICY.absolute_timeout
    with wrong_clock(timedelta(hours=3, minutes=1)):
        assert guard.load(session.token) is None
        assert guard.sweep().ended == 1
