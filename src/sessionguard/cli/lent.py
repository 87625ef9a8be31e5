"""What commands need of a guard that an application lent them, beyond its calls."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sessionguard.guard import SessionGuard
from sessionguard.stores.contract import Store
from sessionguard.workspaces import Workspaces


def beneath(guard: SessionGuard) -> tuple[Store, Workspaces | None]:
    """Give the store of `guard` and its place for files, to be examined and not to be closed."""
    return guard._store, guard._parts.files


@contextmanager
def without_background(guard: SessionGuard) -> Iterator[None]:
    """Have `guard` begin no sweep by itself inside the block, as a command that only looks must not end sessions."""
    parts, had_begun = guard._parts, guard._pid == os.getpid()
    seconds, parts.sweep_seconds = parts.sweep_seconds, None
    try:
        yield
    finally:
        parts.sweep_seconds = seconds
        if not had_begun and guard._pid is not None:
            # The next use begins it.
            guard._pid = None
