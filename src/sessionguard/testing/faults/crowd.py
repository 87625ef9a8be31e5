"""Forked children that all do the same with what they inherited, at the same time; and one that is killed."""

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


def killed_while(
    function: Callable[..., Any],
    *arguments: object,
    acknowledgements: int = 1,
    seconds: float = 0.0,
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[Any]:
    """Play `function(acknowledge, *arguments)` in a child, kill it with SIGKILL, and give all that it acknowledged.

    The function goes on without end and calls `acknowledge(value)` for each thing that it has done. It is killed after
    so many acknowledgements and `seconds` more, wherever it is then.

    Raises:
        ChildError: it returned, raised, or was silent for `patience_seconds` before it was killed.
    """
    with ChildProcess(_acknowledge, function, arguments) as child:
        heard = [_heard(child, patience_seconds) for _ in range(acknowledgements)]
        end = time.monotonic() + seconds
        # Heard all the time: with its pipe full, the child would stand still.
        while (left := end - time.monotonic()) > 0:
            if child.has_spoken(left):
                heard.append(_heard(child, patience_seconds))
        return heard + [_acknowledged(message) for message in child.heard_before_death()]


def _heard(child: ChildProcess, patience_seconds: float) -> Any:
    return _acknowledged(child.hear(patience_seconds))


def _acknowledged(message: Any) -> Any:
    if isinstance(message, _Returned):
        raise ChildError("the function returned before it was killed; let it go on without end")
    return message


class _Returned:
    pass


def _acknowledge(pipe: Connection, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    function(pipe.send, *arguments)
    pipe.send(_Returned())


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
