"""What callers saw of one slot while others closed its sessions, and the judge of whether that can have been right.

Instants are those of the machine's monotonic clock around each call, so they compare across its processes. A call took
effect somewhere between its beginning and its end; only what holds wherever that was is held against a store.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal

from attrs import frozen

from sessionguard.core.commands import Command, R
from sessionguard.core.driving import Flow, perform

Kind = Literal["opened", "closed"]


@frozen
class Seen:
    """One call: a session was given out as active, or was closed by this very call."""

    kind: Kind
    session_id: str
    begun_ns: int
    ended_ns: int


def timed(command: Command[R]) -> Flow[tuple[R, int, int]]:
    """Ask, and give the reply between the instants before and after."""
    begun_ns = time.monotonic_ns()
    reply = yield from perform(command)
    return reply, begun_ns, time.monotonic_ns()


def contradictions(history: Iterable[Seen]) -> Iterator[str]:
    """Give what cannot have happened in a store with at most one active session in the slot and no way back."""
    events = list(history)
    closed: dict[str, Seen] = {}
    for event in events:
        if event.kind == "closed":
            if event.session_id in closed:
                yield f"{event.session_id} was closed twice"
            closed[event.session_id] = event
    for event in events:
        end = closed.get(event.session_id)
        if event.kind == "opened" and end is not None and event.begun_ns > end.ended_ns:
            yield f"{event.session_id} was given out {event.begun_ns - end.ended_ns} ns after it had been closed"
    yield from _overlaps(_lives(events, closed))


def _lives(events: Iterable[Seen], closed: Mapping[str, Seen]) -> dict[str, tuple[int, float]]:
    """Give for each session the span in which it was active for certain."""
    lives: dict[str, tuple[int, float]] = {}
    for event in events:
        if event.kind == "opened":
            first, _ = lives.get(event.session_id, (event.ended_ns, 0.0))
            end = closed.get(event.session_id)
            lives[event.session_id] = (min(first, event.ended_ns), float("inf") if end is None else end.begun_ns)
    return {session_id: life for session_id, life in lives.items() if life[0] < life[1]}


def _overlaps(lives: Mapping[str, tuple[int, float]]) -> Iterator[str]:
    ordered: list[tuple[str, tuple[Any, Any]]] = sorted(lives.items(), key=lambda item: item[1])
    for (former, (_, end)), (latter, (begin, _)) in pairwise(ordered):
        if begin < end:
            yield f"{former} and {latter} were both active"
