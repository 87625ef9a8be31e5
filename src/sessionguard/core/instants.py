"""Instants and durations: aware `datetime` and `timedelta` outside, whole microseconds (`_us`) inside.

Microseconds since the Unix epoch are exact for every `datetime` and sort, index and compare as
integers on every engine (they stay below 2**53 until the year 2255, so Lua numbers hold them too).
"""

from datetime import UTC, datetime, timedelta

from sessionguard.errors import InvalidArgumentError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Give the microseconds from the epoch to `at`, which must carry a time zone."""
    if at.tzinfo is None:
        raise InvalidArgumentError("at", at, "give an aware datetime, such as datetime.now(timezone.utc)")
    return (at - _EPOCH) // _MICROSECOND


def from_us(instant_us: int) -> datetime:
    """Give the aware UTC `datetime` that is `instant_us` microseconds after the epoch."""
    return _EPOCH + timedelta(microseconds=instant_us)


def duration_us(duration: timedelta) -> int:
    """Give `duration` in whole microseconds."""
    return duration // _MICROSECOND


def with_unit(value: object, remedy: str) -> str:
    """Give `remedy` for a duration that is refused; whoever gave a bare number learns what to write instead."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return f"{remedy}; a bare number has no unit: write timedelta(seconds={value!r}) if it is seconds"
    return remedy
