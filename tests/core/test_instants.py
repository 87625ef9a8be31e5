"""Instants and durations: exact both ways, never without a time zone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionguard.core.instants import duration_us, from_us, to_us
from sessionguard.errors import InvalidArgumentError


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_instant_survives_both_ways(at: datetime) -> None:
    """Microseconds hold every instant a `datetime` can hold."""
    assert from_us(to_us(at)) == at
    assert from_us(to_us(at)).tzinfo is UTC


def test_instant_is_the_same_in_every_zone() -> None:
    """Only the instant counts, not how a clock on the wall shows it."""
    at = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert to_us(at.astimezone(timezone(timedelta(hours=5, minutes=30)))) == to_us(at)


def test_order_is_kept() -> None:
    """One microsecond later is one more."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert to_us(at + timedelta(microseconds=1)) == to_us(at) + 1


def test_instant_without_zone_is_refused() -> None:
    """Nobody guesses which clock was meant."""
    with pytest.raises(InvalidArgumentError, match="aware"):
        to_us(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake under test


def test_duration_is_exact() -> None:
    """No rounding by floating point."""
    assert duration_us(timedelta(days=365_000, microseconds=1)) == 365_000 * 86_400_000_000 + 1
