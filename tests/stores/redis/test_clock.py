"""T57: the clock of the server decides, whatever the clock of the application says."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.records import Lifetime
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import wrong_clock
from tests.stores.redis.asking import Session

LIFETIME = Lifetime(idle_us=600_000_000, absolute_us=3_600_000_000, touch_us=0, retention_us=86_400_000_000)


def _now(s: Stage, command: c.Command[c.R]) -> c.Command[c.R]:
    """Give the same question, to be judged by the clock of the engine."""
    return evolve(command, at=None)  # type: ignore[misc]  # every command with an instant is an attrs class


@pytest.mark.parametrize("skew", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=3650)])
def test_t57_wrong_clock_of_the_application(session: Session, skew: timedelta) -> None:
    """With the application's clock off by an hour or ten years nothing expires early, and nothing lives longer."""
    s = session.s
    before = datetime.now(UTC)
    with wrong_clock(skew):
        new = s.new("ana", lifetime=LIFETIME)
        opened = session.ask(_now(s, s.get_or_create(new))).record
        assert session.ask(_now(s, s.load(opened))).record is not None
        assert session.ask(_now(s, s.sweep())).records == ()
        touched = session.ask(_now(s, s.touch(opened))).record
    assert touched is not None
    assert abs(touched.expires_us / 1e6 - before.timestamp() - 600) < 60
    assert abs(opened.created_us / 1e6 - before.timestamp()) < 60


def test_t57_server_expiry_is_only_for_rubbish(session: Session) -> None:
    """A session lives by its own deadline to the microsecond; the server keeps it for longer than its history."""
    s = session.s
    # Over before anyone can ask for it.
    new = s.new("ana", lifetime=Lifetime(1, 60_000, 0, 1_000))
    opened = session.ask(_now(s, s.get_or_create(new))).record
    assert opened.reason is None
    stored = session.ask(_now(s, s.get(opened)))
    assert stored is not None
    assert (stored.reason, stored.ended_us) == ("expired", opened.expires_us)
    assert session.ask(_now(s, s.load(opened))).refusal == "expired"
    swept = session.ask(_now(s, s.sweep()))
    assert [record.id for record in swept.records] == [opened.id]


def test_instants_far_away_are_exact(session: Session) -> None:
    """Instants two hundred years away and the longest lifetimes keep their microseconds."""
    longest = 36_525 * 86_400_000_000
    new = session.s.new("ana", lifetime=Lifetime(longest - 1, longest, 0, longest))
    at = datetime(2054, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    opened = session.ask(c.GetOrCreate(new, at, session.s.operation())).record
    micros = round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    assert (opened.created_us, opened.expires_us) == (micros, micros + longest - 1)
    assert session.ask(c.Get(opened.id, at)) == opened
