"""A process that is killed while it works, and all that it had acknowledged by then."""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from sessionguard.testing.faults.children import PATIENCE_SECONDS, ChildError, ChildProcess
from sessionguard.testing.portable import refuse_unportable


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
        MisuseError: it cannot cross into another process, as a lambda.
    """
    refuse_unportable("function", function)
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
