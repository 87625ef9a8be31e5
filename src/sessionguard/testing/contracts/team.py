"""Callers that start at one instant: threads of one process that wait at a barrier, play a flow each, and report."""

import queue
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Self

from attrs import frozen

from sessionguard.core.driving import Flow, run
from sessionguard.testing.history import History, Operation, recorded


@frozen
class Trouble:
    """A caller that failed: who, and its traceback as text, so that it can cross a process border."""

    caller: str
    traceback: str


@frozen
class Played:
    """What a caller has come to, and everything it has asked, by the clock that all processes of the machine share."""

    result: Any
    operations: tuple[Operation, ...]


class RaceError(AssertionError):
    """A caller raised, died or never came back."""

    def __init__(self, troubles: Sequence[Trouble]) -> None:
        self.troubles = tuple(troubles)
        first = self.troubles[0]
        more = f"\n... and {len(self.troubles) - 1} more like it" if len(self.troubles) > 1 else ""
        super().__init__(f"{first.caller} failed:\n{first.traceback}{more}")


class Team:
    """A fixed number of threads, each of which plays one flow a round; all start together."""

    def __init__(self, stores: Sequence[Any], size: int, patience: float, first: int = 0) -> None:
        """`first` is the number of the first of them, among all callers of the race."""
        self._first = first
        self._patience = patience
        self._size = size
        self._start = threading.Barrier(size)
        self._results: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._jobs: list[queue.SimpleQueue[Callable[[], Flow[Any]] | None]] = [queue.SimpleQueue() for _ in range(size)]
        self._threads = [
            # Daemons: a caller that hangs must not keep the whole test run from ending.
            threading.Thread(
                target=self._serve, args=(number, stores[number % len(stores)]), name=f"caller {number}", daemon=True
            )
            for number in range(size)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for jobs in self._jobs:
            jobs.put(None)
        for thread in self._threads:
            thread.join(timeout=1.0)

    def play(self, flows: Sequence[Callable[[], Flow[Any]]]) -> list[Played]:
        """Play one flow a thread, all at once, and give what they have played in order.

        Raises:
            RaceError: a flow raised, or was not done in time.
        """
        for jobs, flow in zip(self._jobs, flows, strict=True):
            jobs.put(flow)
        results: dict[int, Any] = {}
        while len(results) < self._size:
            try:
                number, result = self._results.get(timeout=self._patience)
            except queue.Empty:
                raise RaceError(self._missing(set(range(self._size)) - results.keys())) from None
            results[number] = result
        troubles = [result for result in results.values() if isinstance(result, Trouble)]
        if troubles:
            raise RaceError(troubles)
        return [results[number] for number in range(self._size)]

    def _serve(self, number: int, store: Any) -> None:
        while (make_flow := self._jobs[number].get()) is not None:
            result: Any
            try:
                history = History()
                asked = recorded(store, history, f"caller {self._first + number}")
                self._start.wait(self._patience)
                result = Played(run(make_flow(), asked), history.operations)
            except BaseException:
                result = Trouble(f"caller {number}", traceback.format_exc())
            self._results.put((number, result))

    def _missing(self, numbers: set[int]) -> list[Trouble]:
        frames = sys._current_frames()
        troubles = []
        for number in sorted(numbers):
            frame = frames.get(self._threads[number].ident or -1)
            where = "".join(traceback.format_stack(frame)) if frame is not None else "(its thread is gone)"
            troubles.append(Trouble(f"caller {number}", f"no answer within {self._patience} s; it stands at\n{where}"))
        return troubles
