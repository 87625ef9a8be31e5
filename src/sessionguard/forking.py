"""What begins anew in a forked child: before any of its threads, so that none wipes what another has begun."""

import os
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

Owner = TypeVar("Owner")

_resets: Final["weakref.WeakKeyDictionary[Any, Callable[[Any], object]]"] = weakref.WeakKeyDictionary()


def after_fork(owner: Owner, reset: Callable[[Owner], object]) -> None:
    """Have `reset(owner)` done in every forked child before its own code runs, for as long as `owner` is there.

    `reset` must not hold `owner`, wait for a lock or fail: give the method of the class, not of the object.
    """
    _resets[owner] = reset


def _reset_all() -> None:
    for owner, reset in list(_resets.items()):
        reset(owner)


os.register_at_fork(after_in_child=_reset_all)
