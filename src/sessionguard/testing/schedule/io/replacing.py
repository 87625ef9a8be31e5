"""Replacing functions by others for a time, wherever a module has them by name."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import frozen

_OURS: Final = __package__ or ""
_SETS: Final = (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids)
"""Who wants to know what a function of `os` can do looks for the function itself in these."""


@frozen(eq=False)
class _Replacement:
    owner: Any
    name: str
    real: Any
    other: Any


class Replacements:
    """What is to be replaced: made once, done and undone as often as there are schedules."""

    def __init__(self) -> None:
        self._planned: list[_Replacement] = []
        self._done: list[_Replacement] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Let `owner.name` be what `make` gives for it; nothing happens if there is no such name."""
        real = vars(owner).get(name)
        if real is not None:
            self._planned.append(_Replacement(owner, name, real, make(real)))

    def replace_by_name(self) -> None:
        """Let modules that have one of those functions by its name have the other one, too."""
        others = {id(each.real): each.other for each in self._functions()}
        planned = {(id(each.owner), each.name) for each in self._planned}
        for module, name, value in _names_in_modules():
            if id(value) in others and (id(module), name) not in planned:
                self._planned.append(_Replacement(module, name, value, others[id(value)]))

    def do(self) -> None:
        """Replace all of it."""
        for each in self._planned:
            self._done.append(each)
            setattr(each.owner, each.name, each.other)
        for each in self._functions():
            for names in _SETS:
                if each.real in names:
                    names.add(each.other)

    def undo(self) -> None:
        """Put back what was there."""
        while self._done:
            each = self._done.pop()
            setattr(each.owner, each.name, each.real)
        for each in self._functions():
            for names in _SETS:
                names.discard(each.other)

    def sweep(self) -> None:
        """Put back what a module took over by name that was imported meanwhile."""
        reals = {id(each.other): each.real for each in self._functions()}
        for module, name, value in _names_in_modules():
            if id(value) in reals:
                setattr(module, name, reals[id(value)])

    def _functions(self) -> Iterator[_Replacement]:
        return (each for each in self._planned if not isinstance(each.owner, type))


def _names_in_modules() -> Iterator[tuple[Any, str, Any]]:
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict) and not str(names.get("__name__", _OURS)).startswith(_OURS):
            yield from ((module, name, value) for name, value in list(names.items()))
