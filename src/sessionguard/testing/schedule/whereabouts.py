"""Where a worker stands that reaches no point, and which lock, not adopted, it may be waiting for there."""

import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from types import FrameType, ModuleType
from typing import Any, Final

from sessionguard.testing.own_code import innermost, is_own, place_of
from sessionguard.testing.schedule.adopting import attributes_of
from sessionguard.testing.schedule.scenario import Worker

_LOCKS: Final = (type(threading.Lock()), type(threading.RLock()))
_CONDITION: Final = threading.Condition
_THREADING: Final = threading.__file__


def told_waiting(thread: threading.Thread) -> str:
    """Say where a thread stands, and what to write in the scenario so that its waiting is seen."""
    frames = _frames_of(thread)
    frame = innermost(frames)
    if frame is None:
        return "waited at a place that cannot be seen"
    where = f"waited in {place_of(frame)}"
    inner = frames[frames.index(frame) :] if is_own(frame.f_code.co_filename) else frames
    for name, proposal in chain.from_iterable(_contended(each, frames) for each in reversed(inner)):
        return f"{where} for {name}, which is not adopted: {proposal}"
    return f"{where}; if that is a lock of threading, let the scenario s.adopt(...) the object or module that has it"


def _frames_of(thread: threading.Thread) -> list[FrameType]:
    """Give the frames of the part that a thread plays, the innermost last."""
    frames: list[FrameType] = []
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code is not Worker.play.__code__:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _contended(frame: FrameType, stack: Sequence[FrameType]) -> Iterator[tuple[str, str]]:
    """Give the locks that somebody has, among what this function can reach, and how each is adopted."""
    if frame.f_code.co_filename == _THREADING:
        return  # Its own locks are parts of those that somebody means.
    local = frame.f_locals
    for owner in sorted(local.values(), key=lambda value: value is not local.get("self")):
        if isinstance(owner, type | ModuleType | _CONDITION):
            continue
        for attribute, value in attributes_of(owner):
            if _is_contended(value):
                yield f"{type(owner).__name__}.{attribute}", f"say s.adopt({_named(owner, stack)}) in the scenario"
    if is_own(frame.f_code.co_filename):
        module = frame.f_globals.get("__name__", "")
        for name, value in frame.f_globals.items():
            if _is_contended(value):
                yield f"{module}.{name}", f'say s.adopt(sys.modules["{module}"]) in the scenario'
        for name, value in local.items():
            if _is_contended(value):
                yield f"the variable {name}", "make it an attribute of an object, and give that to s.adopt(...)"


def _named(owner: object, stack: Sequence[FrameType]) -> str:
    """Give the variable by which the scenario most likely knows it, or what it is."""
    for frame in stack:
        for name, value in frame.f_locals.items():
            if value is owner and name != "self" and is_own(frame.f_code.co_filename):
                return name
    return f"that {type(owner).__name__}"


def _is_contended(value: Any) -> bool:
    if isinstance(value, _CONDITION):
        return bool(value._waiters) or _is_taken(value._lock)  # type: ignore[attr-defined]
    return isinstance(value, _LOCKS) and _is_taken(value)


def _is_taken(lock: object) -> bool:
    # An RLock says so nowhere else before Python 3.14, and to try it would be to take it.
    return repr(lock).startswith("<locked")
