"""Records and settings for the tests of the core, with the one thing that matters to a test given by name."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from attrs import evolve

from sessionguard.core.events import Event, EventBus
from sessionguard.core.opening import opened_record
from sessionguard.core.policy import PolicyBook, SessionPolicy
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.core.setting import Setting
from sessionguard.core.tokens import Mint

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
POLICY = SessionPolicy(idle_timeout=timedelta(minutes=20), absolute_timeout=timedelta(hours=2))
HASH = b"h" * 32


def new_session(**changes: Any) -> NewSession:
    """Give a session to be opened."""
    fields: dict[str, Any] = {
        "id": "ab" + "0" * 32,
        "scope": "default",
        "owner": "ada",
        "external_id": None,
        "token_hash": HASH,
        "data": "{}",
        "lifetime": POLICY.lifetime(),
    }
    return NewSession(**(fields | changes))


def record(**changes: Any) -> SessionRecord:
    """Give a record as it is when its session is opened at `START`, but for `changes`."""
    return evolve(opened_record(new_session(), exclusive=True, generation=1, now_us=START_US), **changes)


def counted_bytes() -> Callable[[int], bytes]:
    """Give random bytes that are not random: each draw is the next number."""
    numbers = count(1)
    return lambda length: next(numbers).to_bytes(length, "big")


def setting(
    heard: list[Event] | None = None,
    *,
    has_files: bool = False,
    policy: Any = POLICY,
    monotonic: Callable[[], float] = lambda: 0.0,
) -> Setting:
    """Give a setting whose clocks stand, at `START` and by `monotonic`; `heard` receives every event."""
    bus = EventBus(lambda subscriber, error: None)
    if heard is not None:
        bus.subscribe(heard.append)
    return Setting(PolicyBook(policy), Mint(counted_bytes()), bus, lambda: START, monotonic, has_files=has_files)
