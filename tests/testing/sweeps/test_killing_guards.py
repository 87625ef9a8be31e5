"""T54, T62 and T68 on guards: killed and stopped at every stop, with every store that processes share."""

from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal

import pytest

from sessionguard.errors import LeaseLostError, LockLostError, MisuseError, StoreError
from sessionguard.testing.history import SessionModel
from sessionguard.testing.sweeps import SweepReport, fork_sweep, jump_sweep, kill_sweep
from tests.testing.sweeps import killed_guards as k

pytestmark = pytest.mark.processes

SLOW: Final = ["sqlite", "redis", *(pytest.param(kind, marks=pytest.mark.deep) for kind in ("file", "postgres"))]
"""In short runs one engine on the machine and one server: each stop takes a process, and a wait if it is paused."""


def parts(url: str, *functions: Any) -> list[Any]:
    """Give the functions with the URL that each takes."""
    return [partial(function, url=url) for function in functions]


def stops_in(report: SweepReport) -> int:
    """Give how many stops there were."""
    return max(len(stops) for stops in report.strikes.values())


@pytest.mark.parametrize("fault, operation", [("kill", k.change), ("pause", k.save)])
@pytest.mark.parametrize("url", SLOW, indirect=True)
def test_t62_every_change_is_whole_or_not_at_all(url: str, fault: Literal["kill", "pause"], operation: Any) -> None:
    """Killed or stopped at every declared point, nobody waits for it, and history and store are in order."""
    played, survivor, prepare, check = parts(url, operation, k.go_on, k.prepare, k.all_is_well)
    report = kill_sweep(
        played,
        survivor,
        prepare=prepare,
        check=check,
        faults=[fault],
        model=SessionModel,
        refusals=(StoreError,),
        strict=True,
    )
    assert stops_in(report) >= 3


# In short runs tests/workspaces/test_crashes.py kills a stream, at system calls, in a fraction of the time, and
# test_standstill.py stops writers there.
@pytest.mark.deep
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_t54_a_streamed_file_is_old_or_new_and_the_quota_right(fault: Literal["kill", "pause"]) -> None:
    """Killed or stopped at every system call of a stream, the file is whole, and no room lost."""
    url = "sqlite:///{folder}/sessions.db"
    operation, survivor, prepare, check = parts(
        url, k.stream_file, k.read_whole_and_write, k.prepare, k.only_the_file_is_left
    )
    report = kill_sweep(
        operation,
        survivor,
        prepare=prepare,
        check=check,
        stops="io:sessionguard.workspaces",
        faults=[fault],
        refusals=(LeaseLostError,),
    )
    labels = {stop.label for stop in report.strikes[fault]}
    assert labels >= {"open", "pwrite", "rename"}


def test_t54_the_file_store_at_every_system_call() -> None:
    """Killed at every system call of a save, the store has it or not, goes on at once, and its files agree."""
    operation, survivor, prepare, check = parts(
        "file://{folder}/sessions?patience=0.05", k.save, k.go_on, k.prepare, k.all_is_well
    )
    report = kill_sweep(
        operation,
        survivor,
        prepare=prepare,
        check=check,
        stops="io:sessionguard.stores.file",
        faults=["kill"],
        model=SessionModel,
    )
    assert stops_in(report) >= 10


@pytest.mark.parametrize("url", SLOW, indirect=True)
def test_t68_whoever_wakes_after_its_lease_writes_nothing(url: str) -> None:
    """Stopped under a lock for longer than its lease and woken, it is refused by row and workspace: fences."""
    operation, survivor, prepare, check = parts(
        url, k.save_under_a_lock, k.save_later, k.prepare, k.highest_fence_is_last
    )
    report = kill_sweep(
        operation,
        survivor,
        prepare=prepare,
        check=check,
        lease=k.LEASE,
        faults=["pause"],
        refusals=(LockLostError, LeaseLostError, StoreError),
    )
    assert {"locked", "between"} <= {stop.label for stop in report.strikes["pause"]}


def test_t02_a_fork_in_the_middle_of_a_call(url: str) -> None:
    """Forked at every declared point of a call, parent and child are both served right."""
    operation, survivor, prepare, check = parts(url, k.save_with_a_guard_open, k.go_on, k.prepare, k.all_is_well)
    report = fork_sweep(operation, k.use_in_a_fork, survivor, prepare=prepare, check=check, refusals=(MisuseError,))
    assert stops_in(report) >= 3


@pytest.mark.parametrize("url", SLOW, indirect=True)
def test_t57_a_clock_that_jumps_in_the_middle_of_a_call(url: str) -> None:
    """By the idle timeout, to the tick before, or an hour back: one active session that ends in time."""
    operation, survivor, prepare, check = parts(
        url, k.use_for_long, k.one_session_whatever_the_clock, k.prepare, k.all_is_well
    )
    jumps = [k.IDLE, k.IDLE - timedelta(microseconds=1), -timedelta(hours=1)]
    report = jump_sweep(operation, survivor, jumps=jumps, prepare=prepare, check=check, model=SessionModel)
    assert all(len(stops) >= 3 for stops in report.strikes.values())
