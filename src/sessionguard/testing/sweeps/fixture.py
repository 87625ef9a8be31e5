"""The fixtures of the sweeps: each sweep, with what the command line says."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest

from sessionguard.testing.replaying import ReplayKind, replay_for
from sessionguard.testing.sweeps.cancelling import cancel_sweep
from sessionguard.testing.sweeps.interrupting import interrupt_sweep
from sessionguard.testing.sweeps.killing import fork_sweep, jump_sweep, kill_sweep

_SWEEPS: Final[dict[ReplayKind, Callable[..., Any]]] = {
    ReplayKind.CANCEL: cancel_sweep,
    ReplayKind.INTERRUPT: interrupt_sweep,
    ReplayKind.KILL: kill_sweep,
    ReplayKind.JUMP: jump_sweep,
    ReplayKind.FORK: fork_sweep,
}


def sweep_of(node: pytest.Item, name: str) -> Callable[..., Any]:
    """Give the sweep of that name for a test: strict at the deep profile, or only the place of a report.

    The id of another sweep, or of a race, is not followed, and the report of the test has a note of that.
    """
    kind = ReplayKind(name)
    strict = node.config.getoption("--sg-profile") == "deep"
    return partial(_SWEEPS[kind], strict=strict, only=replay_for(kind, node))
