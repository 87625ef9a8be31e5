"""Looking at the directory of a session before anything is removed: how young it is, and what is in it."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta

from sessionguard.booting import UNKNOWN_BOOT, this_boot
from sessionguard.workspaces.contract import Removal
from sessionguard.workspaces.local.ages import ages_now
from sessionguard.workspaces.local.deployment import Deployment
from sessionguard.workspaces.local.descriptors import look, open_directory
from sessionguard.workspaces.local.layout import FILES, LEDGER, PENDING, PRIVATE, shard_of
from sessionguard.workspaces.local.leases import is_held
from sessionguard.workspaces.local.tree import FileTree


def place_id(folder: int) -> str | None:
    """Name an open directory, unlike every other one of this machine and of others; None where no boot is told.

    Two containers that share a directory know it by the same numbers, and two that do not by others.
    """
    if this_boot() == UNKNOWN_BOOT:
        return None
    state = os.fstat(folder)
    return f"{this_boot().hex()}-{state.st_dev:x}-{state.st_ino:x}"


def is_young(deployment: Deployment, session_id: str, age: timedelta, at: datetime | None) -> bool:
    """Tell whether anything was written, made, renamed or removed in the directory within `age` before `at`."""
    with deployment.opened(PENDING) as pending:
        if pending is not None and look(session_id, pending) is not None:
            return False
    with deployment.opened(shard_of(session_id)) as shard:
        if shard is None or look(session_id, shard) is None:
            return False
        now = ages_now(deployment).steady if at is None else at.timestamp()
        return _has_changed(session_id, shard, now - age.total_seconds())


def measure(deployment: Deployment, session_id: str) -> Removal:
    """Count what a removal would remove; deferred if somebody holds the directory."""
    with deployment.opened(shard_of(session_id)) as shard:
        if shard is None or look(session_id, shard) is None:
            return Removal(files=0, bytes=0, deferred=False)
        session = open_directory(session_id, shard)
        try:
            # Not held while it is counted: that would keep its users waiting, and have its removal put off.
            if is_held(session):
                return Removal(files=0, bytes=0, deferred=True)
            sizes = [found.st_size for found in _files(session_id, session)]
            return Removal(files=len(sizes), bytes=sum(sizes), deferred=False)
        finally:
            os.close(session)


def _has_changed(session_id: str, shard: int, since: float) -> bool:
    # The directories first: a write of ours makes its file in the private one and renames it into the other.
    for name in (".", FILES, PRIVATE):
        found = look(os.path.join(session_id, name), shard)
        if found is not None and found.st_mtime > since:
            return True
    try:
        session = open_directory(session_id, shard)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # Another program may write on in a file that is there.
        return any(found.st_mtime > since for found in _files(session_id, session))
    finally:
        os.close(session)


def _files(session_id: str, session: int) -> Iterator[os.stat_result]:
    """Give the states of all files but the ledger, which also changes when others count."""
    return (found for parts, found in FileTree(session_id, session).files() if parts != (PRIVATE, LEDGER))
