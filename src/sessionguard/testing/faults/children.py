"""Child processes of a test: each plays one function, talks over a pipe, and reports in full why it failed."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, ForkServerContext
from types import TracebackType
from typing import Any, Final, Literal, Self

from attrs import frozen

from sessionguard.testing.portable import refuse_unportable

PATIENCE_SECONDS: Final = 60.0
_CONTEXTS: Final[dict[str, ForkContext | ForkServerContext]] = {
    "clean": multiprocessing.get_context("forkserver"),
    "fork": multiprocessing.get_context("fork"),
}

Start = Literal["clean", "fork"]


class ChildError(AssertionError):
    """A child raised, died, or did not answer in time; the message holds its traceback, if there is one."""


@frozen
class _Failure:
    traceback: str


@frozen
class _Result:
    value: Any


class ChildProcess:
    """One process that plays `work(pipe, *arguments)`; what it returns is its last message.

    Where `start` is "clean" the child has nothing of this process: `work` and its arguments must be picklable. Where it
    is "fork" it inherits all that this process has, open stores too. Leaving the block kills it.

    Raises:
        MisuseError: `work` has no name by which a clean process would find it, as a lambda.
    """

    def __init__(self, work: Callable[..., Any], *arguments: object, start: Start = "clean") -> None:
        if start == "clean":
            refuse_unportable("work", work)
        context = _CONTEXTS[start]
        self._pipe, theirs = context.Pipe()
        inherited = self._pipe if start == "fork" else None
        self._process = context.Process(target=_play, args=(theirs, inherited, work, arguments))
        try:
            with warnings.catch_warnings():
                # Forking with threads around is what some of these tests are about.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process.start()
        except BaseException:
            self._pipe.close()
            raise
        finally:
            theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the child."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the child ended, minus the number of a signal that killed it; None while it lives."""
        return self._process.exitcode

    def tell(self, message: object = "go on") -> None:
        """Send a message to the child."""
        self._pipe.send(message)

    def hear(self, patience_seconds: float = PATIENCE_SECONDS) -> Any:
        """Give the next message of the child.

        Raises:
            ChildError: it raised, died, or said nothing in time.
        """
        message = self._next(patience_seconds)
        return message.value if isinstance(message, _Result) else message

    def has_spoken(self, patience_seconds: float = 0.0) -> bool:
        """Wait for a message so long at most, and tell whether `hear` would give one at once."""
        return self._pipe.poll(patience_seconds)

    def heard_before_death(self) -> list[Any]:
        """Kill the child and give all the messages that it had sent."""
        self.kill()
        messages = []
        try:
            while self._pipe.poll(0):
                messages.append(self._pipe.recv())
        except (EOFError, ConnectionError):
            pass
        return [message for message in messages if not isinstance(message, _Result | _Failure)]

    def finish(self, patience_seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until the child has done its work, skip what it says meanwhile, and give what it returned.

        Raises:
            ChildError: it raised, died, or did not end in time.
        """
        deadline = time.monotonic() + patience_seconds
        while True:
            message = self._next(max(0.0, deadline - time.monotonic()))
            if isinstance(message, _Result):
                return message.value

    def wait_for_end(self, patience_seconds: float = PATIENCE_SECONDS) -> int:
        """Wait until the child has ended, however it ends, and give its exit code.

        Raises:
            ChildError: it did not end in time.
        """
        self._process.join(patience_seconds)
        if self._process.exitcode is None:
            raise ChildError(f"it did not end within {patience_seconds:g} s")
        return self._process.exitcode

    def freeze(self) -> None:
        """Stop the child where it stands."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a stopped child go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the child at once, as `kill -9` does, and wait for its end."""
        if self._process.is_alive():
            self._process.kill()
        # Without a time: with one, a join waits for all who inherited the child's pipe, its children too.
        self._process.join()

    def close(self) -> None:
        """The child is dead, and what it said is gone."""
        self.kill()
        self._pipe.close()

    def _next(self, patience_seconds: float) -> Any:
        if not self._pipe.poll(patience_seconds):
            raise ChildError(f"no message within {patience_seconds:g} s")
        try:
            message = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(PATIENCE_SECONDS)
            raise ChildError(f"it died with exit code {self._process.exitcode}") from None
        if isinstance(message, _Failure):
            raise ChildError(message.traceback)
        return message


def play_all(work: Callable[..., Any], *argument_lists: tuple[object, ...], start: Start = "clean") -> list[Any]:
    """Play `work` in one process per argument list, all at once, and give what they return.

    Each is started when every other has said that it is ready: `work` calls `at_once(pipe)` before it begins.

    Raises:
        ChildError: one of them raised, died, or did not answer in time.
    """
    children = []
    try:
        for arguments in argument_lists:
            children.append(ChildProcess(work, *arguments, start=start))
        for child in children:
            message = child.hear()
            assert message == _READY, f"a child said {message!r} before it called at_once(pipe)"
        for child in children:
            child.tell(_GO)
        return [child.finish() for child in children]
    finally:
        for child in children:
            child.close()


_READY: Final = "ready"
_GO: Final = "go"


def at_once(pipe: Connection) -> None:
    """Wait, in a child of `play_all`, until all the others are ready too."""
    pipe.send(_READY)
    assert pipe.recv() == _GO


def _play(
    pipe: Connection, inherited: Connection | None, work: Callable[..., Any], arguments: tuple[object, ...]
) -> None:
    if inherited is not None:
        # The parent's end: with it open here, the child would not see that its parent is gone.
        inherited.close()
    try:
        pipe.send(_Result(work(pipe, *arguments)))
    except BaseException:
        pipe.send(_Failure(traceback.format_exc()))
        # As a program that raised.
        sys.exit(1)
