"""Which processes a server has: read from /proc, or from ps where there is none."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def children_of(pid: int) -> list[int]:
    """Give the process ids of the living children of `pid`."""
    return [child for child, parent, state in _processes() if parent == pid and state != "Z"]


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that only waits to be reaped by its parent has."""
    return not any(found == pid and state != "Z" for found, _, state in _processes([pid]))


def is_halted(pid: int) -> bool:
    """Whether the process stands still, or has ended: it starts no child before it is let go on."""
    return not any(found == pid and state not in "TtZ" for found, _, state in _processes([pid]))


def _processes(pids: list[int] | None = None) -> Iterator[tuple[int, int, str]]:
    """Yield process id, parent and state of the given processes, or of all."""
    if not (_PROC / "self" / "stat").exists():
        yield from _listed_by_ps()
        return
    names = [name for name in os.listdir(_PROC) if name.isdigit()] if pids is None else list(map(str, pids))
    for name in names:
        try:
            text = (_PROC / name / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # The command, in parentheses, may hold anything; what follows its last parenthesis is plain.
        state, parent = text[text.rindex(")") + 1 :].split()[:2]
        yield int(name), int(parent), state


def _listed_by_ps() -> Iterator[tuple[int, int, str]]:
    done = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        pid, parent, state = line.split()
        yield int(pid), int(parent), state[0]
