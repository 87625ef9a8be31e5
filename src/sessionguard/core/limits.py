"""How many sessions one owner may have in one scope, and who goes if there would be more: the one place that decides.

Stores that decide in an engine (PL/pgSQL, Lua) say the same there, and the contract holds them to it.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from attrs import frozen

from sessionguard.core.lifecycle import EXPIRED_REASON, LIMIT_REASON, State, state_of
from sessionguard.core.records import SessionRecord

OnLimit = Literal["refuse", "end_oldest", "end_idle_longest"]
"""What becomes of a session that would be one too many, or of those in its way."""
ON_LIMIT: Final[tuple[str, ...]] = get_args(OnLimit)


@frozen
class ActiveLimit:
    """How many active sessions the owner of a session may have in its scope, this one among them."""

    most: int
    on_limit: OnLimit


_FIRST_TO_GO: Final[Mapping[OnLimit, Callable[[SessionRecord], Any]]] = MappingProxyType(
    {
        "end_oldest": lambda record: (record.created_us, record.id),
        "end_idle_longest": lambda record: (record.last_seen_us, record.id),
    }
)

Ending = tuple[SessionRecord, str]
"""Whom to end, and for which reason."""


def endings_for_one_more(limit: ActiveLimit, others: Iterable[SessionRecord], now_us: int) -> list[Ending] | None:
    """Give whom to end before one more session of the owner may be active in the scope; None: it may not be.

    `others` are the owner's sessions of that scope that nobody has ended, without the one in question and the one that
    it replaces. Those that have expired do not count; they are ended where they were in the way, unless nothing is
    changed at all.
    """
    others = list(others)
    if len(others) < limit.most:
        return []
    active: list[SessionRecord] = []
    endings: list[Ending] = []
    for record in others:
        if state_of(record, now_us) is State.ACTIVE:
            active.append(record)
        else:
            endings.append((record, EXPIRED_REASON))
    excess = len(active) + 1 - limit.most
    if excess <= 0:
        return endings
    if limit.on_limit == "refuse":
        return None
    active.sort(key=_FIRST_TO_GO[limit.on_limit])
    return endings + [(record, LIMIT_REASON) for record in active[:excess]]


def in_order(ended: Iterable[SessionRecord]) -> tuple[SessionRecord, ...]:
    """Give the sessions that one operation ended as every answer tells them, also the repeated one: oldest first."""
    return tuple(sorted(ended, key=_FIRST_TO_GO["end_oldest"]))
