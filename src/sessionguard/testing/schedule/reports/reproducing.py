"""The command that repeats a schedule: that of pytest, unless another program runs the tests."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

CommandOf = Callable[[str, str], str]
"""Gives what somebody types to repeat a schedule, from the node id of its test and the id of the schedule."""

_command_of: Final[ContextVar[CommandOf | None]] = ContextVar("the command that repeats a schedule", default=None)


@contextmanager
def repeated_by(command_of: CommandOf) -> Iterator[None]:
    """Let reports made within the block name this command, for the tests are files that nobody else can run."""
    token = _command_of.set(command_of)
    try:
        yield
    finally:
        _command_of.reset(token)


def reproduction(replay_id: str, options: str = "") -> str:
    """Give the command that repeats the schedule, with the further options that it needs."""
    # The variable is also seen by programs that a test starts; those are no tests.
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0] if "pytest" in sys.modules else ""
    command_of = _command_of.get()
    if test and command_of is not None:
        return command_of(test, replay_id)
    quoted = "'" + replay_id.replace("'", "'\\''") + "'"
    more = f" {options}" if options else ""
    return f"pytest {shlex.quote(test)} --sg-replay={quoted}{more}" if test else f"replay={quoted}"
