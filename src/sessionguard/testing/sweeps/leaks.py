"""What must not grow: descriptors, tasks and whatever the caller counts, from one broken-off operation to the next."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__tracebackhide__ = True

_DESCRIPTORS: Final = Path("/proc/self/fd")
_PAUSE_SECONDS: Final = 0.001

Count = Callable[[], int]


class LeakError(AssertionError):
    """After an operation was broken off, something that it had was not given back."""


class Leaks:
    """Compares counts with what they were before anything was broken off; what is less counts as well."""

    def __init__(self, in_use: Count | None, settle_seconds: float, descriptors: int | None) -> None:
        self._counts: dict[str, Count] = {}
        self._spare: dict[str, int] = {}
        if in_use is not None:
            self._counts["in use"] = in_use
        if descriptors is not None and _DESCRIPTORS.is_dir():
            self._counts["open descriptors"] = _open_descriptors
            self._spare["open descriptors"] = descriptors
        self._settle_seconds = settle_seconds
        self._before: dict[str, int] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        """Those that may be there, or as many in their place."""

    def remember(self, *, tasks: bool = False) -> None:
        """Take the present counts for those that must not be exceeded; `tasks`: those of this event loop, too."""
        self._before = {name: count() for name, count in self._counts.items()}
        self._tasks = _other_tasks() if tasks else set()

    def wait(self) -> None:
        """Return when nothing is left over, within the time given for that. Raises `LeakError` if something stays."""
        deadline = time.monotonic() + self._settle_seconds
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        _require_none(left)

    async def wait_async(self) -> None:
        """The same without holding up the event loop, for its tasks, too."""
        deadline = time.monotonic() + self._settle_seconds
        # Nobody says when a connection that is closed elsewhere is gone.
        while (left := self._left() + self._tasks_left()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_SECONDS)
        _require_none(left)

    def _left(self) -> list[str]:
        return [
            f"{name}: {now}, and {before} before"
            for name, before in self._before.items()
            if (now := self._counts[name]()) > before + self._spare.get(name, 0)
        ]

    def _tasks_left(self) -> list[str]:
        tasks = _other_tasks()
        # By their number: a client may end its reader and start another one.
        if len(tasks) <= len(self._tasks):
            return []
        return [f"a task was left: {task.get_coro()!r}" for task in tasks - self._tasks]


def _require_none(left: list[str]) -> None:
    if left:
        raise LeakError("not given back: " + "; ".join(left))


def _other_tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def _open_descriptors() -> int:
    # Less the one by which the folder itself is read.
    return len(os.listdir(_DESCRIPTORS)) - 1
