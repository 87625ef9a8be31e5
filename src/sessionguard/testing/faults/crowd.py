"""Forked children that all do the same with what they inherited, at the same time."""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from sessionguard.testing.faults.children import PATIENCE_SECONDS, ChildError, ChildProcess


def in_children(count: int, function: Callable[[int], Any], *, patience_seconds: float = PATIENCE_SECONDS) -> list[Any]:
    """Call `function(number)` in `count` forks of this process, all at once, and give what they return, in order.

    The children inherit every object as it is, such as an open store. What hangs is killed.

    Raises:
        ChildError: with the traceback of every child that raised, died, or was not done within `patience_seconds`.
    """
    children: list[ChildProcess] = []
    try:
        for number in range(count):
            children.append(ChildProcess(_wait_and_call, function, number, start="fork"))
        for child in children:
            child.tell()
        return _results(children, time.monotonic() + patience_seconds)
    finally:
        for child in children:
            child.close()


def _wait_and_call(pipe: Connection, function: Callable[[int], Any], number: int) -> Any:
    pipe.recv()
    return function(number)


def _results(children: list[ChildProcess], deadline: float) -> list[Any]:
    results, troubles = [], []
    for number, child in enumerate(children):
        try:
            results.append(child.finish(max(0.0, deadline - time.monotonic())))
        except ChildError as error:
            troubles.append(f"child {number} (pid {child.pid}): {error}")
    if troubles:
        raise ChildError("\n".join(troubles))
    return results
