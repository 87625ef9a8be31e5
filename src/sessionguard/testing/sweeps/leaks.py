"""What must not grow: descriptors, tasks and whatever the caller counts, from one broken-off operation to the next."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

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

    def remember(self) -> None:
        """Take the present counts for those that must not be exceeded."""
        self._before = {name: count() for name, count in self._counts.items()}

    def remember_tasks(self) -> None:
        """Take the present tasks of this event loop for those that may be there."""
        self._tasks = asyncio.all_tasks()

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
        here = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() - self._tasks if task is not here and not task.done()]
        return [f"a task was left: {task.get_coro()!r}" for task in left]


def _require_none(left: list[str]) -> None:
    if left:
        raise LeakError("not given back: " + "; ".join(left))


def _open_descriptors() -> int:
    # Less the one by which the folder itself is read.
    return len(os.listdir(_DESCRIPTORS)) - 1
