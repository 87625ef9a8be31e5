"""Who is who among tasks: workers, the tasks they start, and how far each has come."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from typing import Any, Final

from sessionguard.testing.schedule.accesses import INSIDE, Point
from sessionguard.testing.schedule.track import NOBODY, Track

Body = Callable[[], Awaitable[None]]

_worker: ContextVar[str] = ContextVar("worker", default="task")

_SINGLE: Final = frozenset({"r", "w"})


def is_of_a_worker() -> bool:
    """Whether whoever asks is a worker, or was started by one."""
    return bool(_worker.get(""))


class Cast:
    """The tasks of one schedule, as workers of its track.

    A task that a worker starts is a worker of its own from its first point on. What one step makes another worker do
    (a lock handed over, a result, a cancellation) is noted as an access to that worker, so the search knows that the
    order of the two matters, though nobody declared it.
    """

    def __init__(self, track: Track, current_task: Callable[[], object] = asyncio.current_task) -> None:
        self._track, self._current_task = track, current_task
        self._numbers: dict[object, int] = {}
        self._children: dict[str, int] = {}

    def begin(self, number: int) -> None:
        """Let the task that calls this be the worker of that number."""
        self._numbers[self._current_task()] = number
        _worker.set(self._track.names[number])

    def current(self) -> int:
        """Give the worker that asks, or `NOBODY`."""
        try:
            return self._numbers.get(self._current_task(), NOBODY)
        except RuntimeError:
            return NOBODY

    def enter(self) -> int:
        """Give the worker that asks; a task that is new becomes one."""
        task = self._current_task()
        if task not in self._numbers:
            self.adopt(task)
        return self._numbers[task]

    def adopt(self, task: object) -> None:
        """Let a task that a worker has started be a worker of its own."""
        root = _worker.get()
        self._children[root] = self._children.get(root, 0) + 1
        self._numbers[task] = self._track.join(f"{root}/{self._children[root]}")

    def reach_for(self, task: object, mode: str) -> None:
        """Note that somebody looks whether a task has ended, or cancels it."""
        number = self._numbers.get(task)
        if number is not None and number != self._track.current:
            self._track.note(Point("task", _inside(number), mode))

    def arrive(self, number: int, point: Point | None) -> None:
        """Note that a worker stands before a point, or is over, and by whose step it came there."""
        self._track.pending[number] = point
        if self._track.current != number:
            self._track.note(Point("wakes", _inside(number), "w"))

    def go_on(self, number: int) -> None:
        """Note that the step just granted is one of this worker."""
        self._track.note(Point("goes on", _inside(number), "r"))

    def access(self, label: str, resource: Hashable, mode: str) -> None:
        """Note an access between two points, where a coroutine cannot be stopped."""
        mode = mode if mode in _SINGLE or mode == "call" else "w"
        self._track.note(self._track.point(label, resource, mode))


class WatchedTask(asyncio.Task[Any]):
    """A task of which others cannot see or change anything unnoticed."""

    cast: Cast | None = None

    def cancel(self, msg: Any = None) -> bool:
        """Cancel it; in vain, too, is an access: a moment before it would not have been."""
        if self.cast is not None:
            self.cast.reach_for(self, "w")
        return super().cancel(msg)

    def done(self) -> bool:
        """Whether it has ended."""
        if self.cast is not None:
            self.cast.reach_for(self, "r")
        return super().done()


def watched_by(cast: Cast) -> Callable[..., "WatchedTask"]:
    """Give what makes the tasks of a loop."""

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **settings: Any) -> WatchedTask:
        task = WatchedTask(coroutine, loop=loop, **settings)
        task.cast = cast
        cast.adopt(task)
        return task

    return make


def _inside(number: int) -> tuple[str, int]:
    return INSIDE, number
