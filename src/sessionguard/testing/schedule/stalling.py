"""Whether a thread or a process waits for what the scheduler does not see, or only has to wait for a processor."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_SAMPLES: Final = 3
_PAUSE_SECONDS: Final = 0.01
_ASLEEP: Final = ("S", "D", "T")
"""Waiting for something, for a disk, or for the signal to go on."""


def is_stalled(native_id: int) -> bool:
    """Whether the thread of this process sleeps in the operating system and uses no processor time for a while.

    A busy machine makes threads late without their waiting for anyone. Linux tells the two apart, by the time a thread
    has run and has been ready to run; where that cannot be read a late thread is taken to be waiting.
    """
    return _are_stalled([Path(f"/proc/self/task/{native_id}")])


def is_process_stalled(pid: int) -> bool:
    """Whether all threads of a process do, as far as they can be told; True if it is gone."""
    try:
        return _are_stalled(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return True


def _are_stalled(tasks: Sequence[Path]) -> bool:
    first = [_used(task) for task in tasks]
    if None in first:
        return True
    for _ in range(_SAMPLES):
        time.sleep(_PAUSE_SECONDS)
        if [_used(task) for task in tasks] != first or any(_state(task) not in _ASLEEP for task in tasks):
            return False
    return True


def _used(task: Path) -> str | None:
    try:
        return (task / "schedstat").read_text()
    except OSError:
        return None


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "S"
