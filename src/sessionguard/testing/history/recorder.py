"""The recorder: what clients do at the same time, written down as operations with the instants around each call."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from sessionguard.testing.history.journal import Journal, read_journal
from sessionguard.testing.history.jsonl import from_lines, to_lines
from sessionguard.testing.history.operations import Operation, Outcome, in_order
from sessionguard.testing.history.picture import lanes

if TYPE_CHECKING:
    from sessionguard.testing.history.checking import AnyModel
    from sessionguard.testing.history.search import Budget
    from sessionguard.testing.history.verdicts import Verdict

Clock = Callable[[], int]

_NOT_TOLD: Final = "it was left without a word on how it ended"


class History:
    """Operations of any number of threads, tasks and, merged, processes.

    `clock` orders them: a step counter under a scheduler, by default the monotonic clock, which the processes of one
    machine share. `instants` shows the microseconds by which sessions are judged, if that is not told by each command.
    With `journal`, a file, each call is written there before it is made, for processes that are to be killed.
    """

    def __init__(
        self,
        clock: Clock = time.monotonic_ns,
        *,
        instants: Clock | None = None,
        instance: int = 0,
        journal: str | os.PathLike[str] | None = None,
    ) -> None:
        self.clock = clock
        self._journal = None if journal is None else Journal(journal)
        self.instants = instants
        self.instance = instance
        self._mutex = threading.Lock()
        self._recorded: list[Operation] = []
        self._open: dict[int, Recording] = {}
        self._begun = 0
        self._lives: dict[str, int] = {}

    def record(self, client: str, name: str, /, **args: Any) -> "Recording":
        """Give a block for one call; inside, say `ok(result)`, `fail(error)` or `info(reason)`.

        Leaving it by an exception means info, unless told before; so does leaving it without a word.
        """
        return Recording(self, client, name, args)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Everything recorded so far, in the order of the calls; what is still under way is info."""
        with self._mutex:
            recorded = [*self._recorded, *(recording.unfinished() for recording in self._open.values())]
        return tuple(in_order(recorded))

    def add(self, operations: Iterable[Operation]) -> None:
        """Take in operations that were recorded elsewhere, by the same clock."""
        with self._mutex:
            for operation in operations:
                self._recorded.append(operation)

    def linearizable(self, model: "AnyModel", budget: "Budget | None" = None) -> "Verdict":
        """Judge whether some order of the operations, each within its interval, is one that `model` allows."""
        from sessionguard.testing.history.checking import check

        return check(self, model, budget)

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Write the operations to a file, one a line."""
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in to_lines(self.operations))

    @classmethod
    def from_jsonl(cls, path: str | os.PathLike[str]) -> Self:
        """Give the history that was written to a file. Raises `ValueError` if it holds anything else."""
        history = cls()
        with open(path, encoding="utf-8") as file:
            history.add(from_lines(file))
        return history

    @classmethod
    def from_journal(cls, path: str | os.PathLike[str]) -> Self:
        """Give what a process had written to its journal, however it ended; what was under way is info."""
        history = cls()
        history.add(read_journal(path))
        return history

    def render(self) -> str:
        """Give the operations as a table with a column for each client."""
        return lanes(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def __getstate__(self) -> tuple[int, tuple[Operation, ...]]:
        # What crosses a process border is what happened, not the lock and the clocks.
        return self.instance, self.operations

    def __setstate__(self, state: tuple[int, tuple[Operation, ...]]) -> None:
        self.__init__(instance=state[0])  # type: ignore[misc]
        self._recorded.extend(state[1])

    def _begin(self, recording: "Recording") -> None:
        with self._mutex:
            self._begun += 1
            recording.number = self._begun
            recording.life = self._lives.get(recording.client, 0)
            self._open[self._begun] = recording
            recording.call = self.clock()
            recording.clock_at_call = self.instants and self.instants()
            if self._journal is not None:
                self._journal.write(recording.unfinished())

    def _finish(self, recording: "Recording", outcome: Outcome, result: Any) -> None:
        instant = self.instants and self.instants()
        with self._mutex:
            if self._open.pop(recording.number, None) is None:
                return
            if outcome == "info":
                # Its call may still be at work, so the client's next one does not come after it: it is another client.
                self._lives[recording.client] = self._lives.get(recording.client, 0) + 1
            self._recorded.append(recording.as_operation(outcome, result, self.clock(), instant))
            if self._journal is not None:
                self._journal.write(self._recorded[-1])


class Recording:
    """One call while it is under way."""

    def __init__(self, history: History, client: str, name: str, args: dict[str, Any]) -> None:
        self.client, self.name, self.args = client, name, args
        self.call = 0
        self.life = 0
        self.clock_at_call: int | None = None
        self.number = 0
        self._history = history

    def __enter__(self) -> Self:
        self._history._begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.info(_NOT_TOLD if error is None else f"{type(error).__name__}: {error}")

    def ok(self, result: Any = None) -> None:
        """It was answered with this. The first word counts."""
        self._history._finish(self, "ok", result)

    def fail(self, error: object = "") -> None:
        """It did nothing, for certain."""
        self._history._finish(self, "fail", _reason(error))

    def info(self, reason: object = "") -> None:
        """Nobody knows whether it did anything, or whether it still will."""
        self._history._finish(self, "info", _reason(reason))

    def unfinished(self) -> Operation:
        """Give the operation as it is now."""
        return self.as_operation("info", "it has not returned", None, None)

    def as_operation(self, outcome: Outcome, result: Any, ret: int | None, instant: int | None) -> Operation:
        """Give the operation with its end."""
        return Operation(
            client=f"{self.client}#{self.life + 1}" if self.life else self.client,
            name=self.name,
            args=self.args,
            call=self.call,
            ret=None if outcome == "info" else ret,
            outcome=outcome,
            result=result,
            instance=self._history.instance,
            clock_at_call=self.clock_at_call,
            clock_at_ret=None if outcome == "info" else instant,
            index=self.number,
        )


def merge(histories: Iterable[History]) -> History:
    """Give one history of what several processes recorded by one clock."""
    merged = History()
    for history in histories:
        merged.add(history.operations)
    return merged


def _reason(error: object) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
