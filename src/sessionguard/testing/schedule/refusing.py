"""Refusing what would do nothing: a part that nobody plays, and a check that can object to nothing."""

import inspect
from collections.abc import Awaitable

from sessionguard.errors import MisuseError
from sessionguard.testing.history import Illegal, Legal, Unknown
from sessionguard.testing.schedule.faults import FaultStep


def refuse_part(worker: str, is_task: bool, function: object) -> None:
    """Raise `MisuseError` if a call of `function` would do nothing."""
    if not callable(function) and not isinstance(function, FaultStep):
        raise MisuseError(
            f"worker {worker!r} was given {function!r}, which is no function; all that follows the name are "
            "functions, called in turn without arguments: give functools.partial(function, argument)"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise MisuseError(f"worker {worker!r} was given {function!r}, a generator, of which a call does nothing")
    if not is_task and inspect.iscoroutinefunction(function):
        raise MisuseError(
            f"worker {worker!r} was given {function!r}, which has to be awaited; give it to s.task(name, function)"
        )


def refuse_unplayed(worker: str, answer: object) -> None:
    """Raise `MisuseError` if a part of a thread or a process gave what does nothing until somebody awaits it."""
    if not isinstance(answer, Awaitable):
        return
    _forget(answer)
    raise MisuseError(
        f"worker {worker!r} called what has to be awaited, so nothing was done; give it to s.task(name, function)"
    )


def refuse_answer(check: str, answer: object) -> None:
    """Raise `MisuseError` for what is no verdict: False would be taken for "nothing is wrong"."""
    if answer is None or isinstance(answer, Legal | Illegal | Unknown):
        return
    _forget(answer)
    raise MisuseError(
        f"{check} gave {answer!r}; a check is a plain function that raises (assert ...), returns a verdict "
        "(history.linearizable(Model)), or returns None if all is well"
    )


def _forget(answer: object) -> None:
    if inspect.iscoroutine(answer):
        answer.close()  # It is never awaited, and need not be complained about twice.
