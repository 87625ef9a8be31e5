"""A thread that does one thing at a time for a sweep, and is not waited for longer than the sweep's patience."""

import queue
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from attrs import define

from sessionguard.testing.sweeps.errors import SweepError

__tracebackhide__ = True


@define
class _Task:
    function: Callable[[], Any]
    result: Any = None
    error: BaseException | None = None


class Hand:
    """One thread. What it is told to do it does in order; whatever is raised there is raised here."""

    def __init__(self, name: str) -> None:
        self._orders: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        # A daemon: one that hangs is left behind, which is what it is reported for.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._orders.put(None)

    def play(self, function: Callable[[], Any], patience_seconds: float) -> Any:
        """Give what `function()` returns there.

        Raises:
            SweepError: it was not over in time; the message shows where it stands.
        """
        self._orders.put(_Task(function))
        try:
            task = self._done.get(timeout=patience_seconds)
        except queue.Empty:
            raise SweepError(f"it is still not over after {patience_seconds:g} s:\n{self._stack()}") from None
        if task.error is not None:
            raise task.error
        return task.result

    def _serve(self) -> None:
        while (task := self._orders.get()) is not None:
            try:
                task.result = task.function()
            except BaseException as error:
                task.error = error
            self._done.put(task)
            # Else the traceback of what was raised would keep open what its frames hold.
            del task

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame else ""
