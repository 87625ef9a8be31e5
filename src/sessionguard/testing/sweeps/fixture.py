"""The fixtures `cancel_sweep` and `kill_sweep`: the sweeps, with what the command line says."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from sessionguard.testing.faults import CancelReport
from sessionguard.testing.sweeps.cancelling import cancel_sweep
from sessionguard.testing.sweeps.killing import kill_sweep
from sessionguard.testing.sweeps.striking import SweepReport


def cancel_sweep_from(config: pytest.Config, name: str) -> Callable[..., Coroutine[Any, Any, CancelReport]]:
    """Give `cancel_sweep` for the test of that node id: strict at the deep profile, or only the point of a report."""
    return partial(cancel_sweep, **_settings(config))


def kill_sweep_from(config: pytest.Config, name: str) -> Callable[..., SweepReport]:
    """Give `kill_sweep` for the test of that node id: the same."""
    return partial(kill_sweep, **_settings(config))


def _settings(config: pytest.Config) -> dict[str, Any]:
    only = config.getoption("--sg-replay")
    # The id of a schedule is meant for the races of a test.
    is_for_sweeps = only is not None and not only.startswith("sg1:")
    return {"strict": config.getoption("--sg-profile") == "deep", "only": only if is_for_sweeps else None}
