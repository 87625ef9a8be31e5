"""Sleep of a worker: others go on meanwhile, and no time passes."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from sessionguard.testing.schedule.io.listening import mine
from sessionguard.testing.schedule.io.replacing import Replacements


def add(replacements: Replacements) -> None:
    """Let a worker that sleeps wait until another one has done something, if any can."""
    replacements.replace(time, "sleep", _sleeping)


def _sleeping(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def sleep(seconds: Any, /) -> None:
        listener = mine()
        if listener is None or not listener.can_stop:
            real(seconds)
        else:
            real(0)
            listener.sleep()

    return sleep
