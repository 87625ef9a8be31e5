"""Child processes of a test: each plays one function, talks over a pipe, and reports in full why it failed."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, ForkServerContext
from types import TracebackType
from typing import Any, Final, Self

from attrs import frozen

# Children fork from a clean server that has imported what they need: quick, and free of the threads of the test run.
CLEAN: Final = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["pytest", "tests.stores.sqlite.workers"])
# Children that inherit all that the test has: open stores, too.
FORK: Final = multiprocessing.get_context("fork")

Context = ForkContext | ForkServerContext

PATIENCE_SECONDS: Final = 60.0


@frozen
class Failure:
    """What a child raised, as text."""

    traceback: str


class ChildError(AssertionError):
    """A child raised, died, or did not answer in time."""


class Child:
    """One process that plays `work(pipe, *arguments)`; what it returns is its last message."""

    def __init__(self, work: Callable[..., Any], *arguments: object, context: Context = CLEAN) -> None:
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_play, args=(theirs, work, arguments))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._pipe.close()

    def tell(self, message: object) -> None:
        """Send a message to the child."""
        self._pipe.send(message)

    def hear(self, patience_seconds: float = PATIENCE_SECONDS) -> Any:
        """Give the next message of the child."""
        if not self._pipe.poll(patience_seconds):
            raise ChildError(f"no message within {patience_seconds:g} s")
        try:
            message = self._pipe.recv()
        except EOFError:
            self._process.join(PATIENCE_SECONDS)
            raise ChildError(f"it died with exit code {self._process.exitcode}") from None
        if isinstance(message, Failure):
            raise ChildError(message.traceback)
        return message

    def heard_before_death(self) -> list[Any]:
        """Kill the child and give all the messages that it had sent."""
        self.kill()
        messages = []
        try:
            while self._pipe.poll(0):
                messages.append(self._pipe.recv())
        except (EOFError, ConnectionError):
            pass
        return messages

    def stop(self) -> None:
        """Stop the child where it stands."""
        os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped child go on."""
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the child at once and wait for its end."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(PATIENCE_SECONDS)

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid


def play_all(work: Callable[..., Any], *argument_lists: tuple[object, ...]) -> list[Any]:
    """Play `work` in one process per argument list, all at once, and give what they return.

    Each is started when every other has said that it is ready: `work` calls `at_once(pipe)` before it begins.
    """
    children = [Child(work, *arguments) for arguments in argument_lists]
    try:
        for child in children:
            assert child.hear() == "ready"
        for child in children:
            child.tell("go")
        return [child.hear() for child in children]
    finally:
        for child in children:
            child.kill()


def at_once(pipe: Connection) -> None:
    """Wait, in a child of `play_all`, until all the others are ready too."""
    pipe.send("ready")
    assert pipe.recv() == "go"


def _play(pipe: Connection, work: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    try:
        pipe.send(work(pipe, *arguments))
    except BaseException:
        pipe.send(Failure(traceback.format_exc()))
