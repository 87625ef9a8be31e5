"""Real child processes that say where they are, and end with the test."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

PATIENCE_SECONDS = 20

_fork = multiprocessing.get_context("fork")


class Child:
    """A running child and the line to it."""

    def __init__(self, function: Callable[..., None], *args: Any) -> None:
        self._line, theirs = _fork.Pipe()
        self.process = _fork.Process(target=_child, args=(function, theirs, self._line, args))
        self.process.start()
        theirs.close()

    def heard(self) -> Any:
        """Give the next thing the child says."""
        assert self._line.poll(PATIENCE_SECONDS), "the child is silent"
        return self._line.recv()

    def tell(self, message: object = "go on") -> None:
        """Say something to the child."""
        self._line.send(message)

    def kill(self) -> None:
        """End the child as a crash would, and wait until it is gone."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        # Without a time: with one, a join waits for all who inherited the child's pipe, its children too.
        self.process.join()

    def finish(self) -> int:
        """Wait for the child to end by itself and give its exit code."""
        self.process.join(PATIENCE_SECONDS)
        assert self.process.exitcode is not None, "the child does not end"
        return self.process.exitcode

    def close(self) -> None:
        """End the child if it still runs."""
        if self.process.is_alive():
            self.kill()
        self.process.close()
        self._line.close()


def _child(function: Callable[..., None], line: Connection, parents_end: Connection, args: tuple[Any, ...]) -> None:
    parents_end.close()
    function(line, *args)


@contextmanager
def child(function: Callable[..., None], *args: Any) -> Iterator[Child]:
    """Run `function(line, *args)` in a forked child for the length of the block."""
    started = Child(function, *args)
    try:
        yield started
    finally:
        started.close()


@contextmanager
def children(count: int, function: Callable[..., None], *args: Any) -> Iterator[list[Child]]:
    """Run `function(line, number, *args)` in `count` forked children for the length of the block."""
    started = [Child(function, number, *args) for number in range(count)]
    try:
        yield started
    finally:
        for one in started:
            one.close()
