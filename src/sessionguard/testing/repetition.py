"""The line of a report that says how the one place of a sweep is struck again."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from sessionguard.testing.schedule.reports.reproducing import reproduction

_follows_option: Final[ContextVar[bool]] = ContextVar("whether the sweep that is played obeys --sg-replay")


@contextmanager
def by_command_line() -> Iterator[None]:
    """Let the sweeps that are played within the block name a command, for `--sg-replay` reaches them."""
    token = _follows_option.set(True)
    try:
        yield
    finally:
        _follows_option.reset(token)


def repetition(point_id: str) -> str:
    """Give the whole command if a fixture plays the sweep, and else the argument that repeats only this place."""
    if _follows_option.get(False):
        return f"reproduce: {reproduction(point_id)}"
    return f"repeat only this one: only={point_id!r}"
