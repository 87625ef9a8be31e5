"""What processes spend, by the kernel's own account: time of the processor, and memory at its highest (Linux)."""

import time
from collections.abc import Iterable
from pathlib import Path

from sessionguard.testing.servers.trees import children_of


def processor_seconds(servers: Iterable[int]) -> float:
    """Give what this process and these servers, with their children, have used since they began."""
    pids = [pid for server in servers for pid in (server, *children_of(server))]
    return time.process_time() + sum(map(_used_by, pids))


def _used_by(pid: int) -> float:
    try:
        # In nanoseconds; the times in `stat` are in hundredths of a second, which is what a small pass takes.
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    except OSError:
        return 0.0


def begin_peak() -> int:
    """Measure the peak of this process from now on; gives what it holds now, in KiB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _kib("VmRSS")


def peak_kib() -> int:
    """Give the most that this process held since `begin_peak`, in KiB."""
    return _kib("VmHWM")


def _kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
