"""Refusing what cannot be given to another process, before one is started."""

import pickle
import sys
from functools import partial
from typing import Final

from sessionguard.errors import MisuseError

__tracebackhide__ = True

_REMEDY: Final = (
    "give a function of a module (def at the left margin of a file that can be imported), or functools.partial of one "
    "with arguments that can be pickled"
)


def refuse_unportable(argument: str, function: object) -> None:
    """Raise `MisuseError` if `function`, given as `argument`, cannot cross into another process.

    A lambda and a function inside of a function have no name by which the other process would find them.
    """
    try:
        pickle.dumps(function)
    except Exception as error:
        raise MisuseError(f"{argument} is played in another process, and {_objection(function)}; {_REMEDY}") from error


def _objection(function: object) -> str:
    if isinstance(function, partial):
        return f"{_named(function.func)}, or what partial gives it, cannot be pickled"
    name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", "")
    if name.endswith("<lambda>"):
        return f"a lambda ({name} of {module}) has no name to be found by there"
    if "<locals>" in name:
        return f"{name} of {module} is defined inside of a function, where it is not found there"
    if hasattr(sys.modules.get(module), name):
        return f"{_named(function)} is not what {module}.{name} is now"
    return f"{_named(function)} cannot be pickled"


def _named(function: object) -> str:
    name = getattr(function, "__qualname__", None)
    return f"{name} of {function.__module__}" if name else f"a {type(function).__name__}"
