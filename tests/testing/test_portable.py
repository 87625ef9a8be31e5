"""What is given to another process is refused at once if it cannot cross, with what to give instead."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionguard.errors import MisuseError
from sessionguard.testing import ChildProcess, killed_while
from sessionguard.testing.portable import refuse_unportable
from sessionguard.testing.schedule import Scenario
from sessionguard.testing.storms import storm_of_killed, storm_of_processes
from sessionguard.testing.sweeps import fork_sweep, jump_sweep, kill_sweep


def plain(*_: Any) -> None:
    """Can cross."""


def nested() -> Callable[..., None]:
    """Give what cannot."""

    def inner(*_: Any) -> None:
        """Has no name that another process knows."""

    return inner


class Tool:
    """An object with something that no process can give away."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def use(self, *_: Any) -> None:
        """Cannot cross, for its object cannot."""


@pytest.mark.parametrize("drive", [
    lambda given: kill_sweep(given, plain),
    lambda given: kill_sweep(plain, given),
    lambda given: kill_sweep(plain, plain, prepare=given),
    lambda given: kill_sweep(plain, plain, check=given),
    lambda given: jump_sweep(given, plain, jumps=[]),
    lambda given: fork_sweep(plain, given, plain),
    lambda given: Scenario().process("a", plain, given),
    lambda given: ChildProcess(given),
    lambda given: killed_while(given),
    lambda given: storm_of_processes(given),
    lambda given: storm_of_killed(given, Path()),
])  # fmt: skip
@pytest.mark.parametrize("given, told", [
    (lambda *_: None, r"a lambda \(<lambda> of .*test_portable\) has no name"),
    (nested(), r"nested.<locals>.inner of .* is defined inside of a function"),
    (partial(nested(), 1), "or what partial gives it, cannot be pickled"),
    (Tool().use, r"Tool.use of .* cannot be pickled"),
])  # fmt: skip
def test_what_cannot_cross_is_refused_with_the_remedy(drive: Callable[..., Any], given: object, told: str) -> None:
    """Before any process is started, whoever asks for it."""
    with pytest.raises(MisuseError, match=f"is played in another process, and .*{told}.*give a function of a module"):
        drive(given)


@pytest.mark.parametrize("given", [plain, partial(plain, 1), None, Path.exists])
def test_what_can_cross_is_not_refused(given: object) -> None:
    """A function of a module, with arguments too."""
    refuse_unportable("work", given)
