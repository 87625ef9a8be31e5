"""Whether a thread waits for something that the scheduler does not see, or only has to wait for a processor."""

import time
from pathlib import Path
from typing import Final

_SAMPLES: Final = 3
_PAUSE_SECONDS: Final = 0.01


def is_stalled(native_id: int) -> bool:
    """Whether the thread sleeps in the operating system and uses no processor time at all for a while.

    A busy machine makes threads late without their waiting for anyone. Linux tells the two apart, by the time a thread
    has run and has been ready to run; where that cannot be read a late thread is taken to be waiting.
    """
    task = Path(f"/proc/self/task/{native_id}")
    first = _used(task)
    if first is None:
        return True
    for _ in range(_SAMPLES):
        time.sleep(_PAUSE_SECONDS)
        if _used(task) != first or _state(task) not in ("S", "D"):
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
