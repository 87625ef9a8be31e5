"""Remove directories of sessions: never one in use, never half, and heal what a crash left."""

import logging
import os
import random
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from sessionguard.workspaces.contract import Removal
from sessionguard.workspaces.identities import is_session_id
from sessionguard.workspaces.local.ages import ages_now
from sessionguard.workspaces.local.deployment import Deployment
from sessionguard.workspaces.local.descriptors import is_still_named, look, make_file, names_in, open_directory
from sessionguard.workspaces.local.emptying import Freed, delete_directory
from sessionguard.workspaces.local.layout import (
    FILES,
    PENDING,
    PRIVATE,
    PUBLISHING_PREFIX,
    QUARANTINE,
    SHARDS,
    TRASH,
    shard_of,
)
from sessionguard.workspaces.local.leases import let_go_exclusive, lock_exclusive, take_exclusive, unlock
from sessionguard.workspaces.local.mounts import has_mounts_below
from sessionguard.workspaces.local.owners import Owners
from sessionguard.workspaces.local.publishing import PLAN
from sessionguard.workspaces.local.reaches import FILES as FILES_OF_SESSIONS
from sessionguard.workspaces.local.reaches import MARKS, reach

_log = logging.getLogger("sessionguard.workspaces")


_QUARANTINE_SECONDS: Final = 30 * 24 * 3600.0
_NOTHING = Removal(files=0, bytes=0, deferred=False)


class Cleanup:
    """Removal, its leftovers and the search for garbage, in one deployment."""

    def __init__(self, deployment: Deployment, owners: Owners) -> None:
        self._deployment = deployment
        self._owners = owners
        # A random start: processes that live for one short scan each must not all scan the same part.
        self._next_shard = random.randrange(len(SHARDS))
        self._after_session = ""

    def remove(self, session_id: str) -> Removal:
        """Remove the directory of a session, or mark it for the end of its lease; see `LocalWorkspaces.remove`."""
        removal = self._remove_unless_in_use(session_id)
        if removal is None:
            self._mark(session_id)
            # Again: whoever held it may have let go after the first try and before the mark, saw no
            # mark, and left it to us.
            removal = self._remove_unless_in_use(session_id)
        return removal or Removal(files=0, bytes=0, deferred=True)

    def remove_if_pending(self, session_id: str) -> None:
        """Do a removal that waited for the lease just released; errors are left to the next pass."""
        try:
            if self.is_pending(session_id):
                self._remove_unless_in_use(session_id)
        except OSError as error:
            _log.warning("deferred removal of the workspace of session %s failed: %s", session_id, error.strerror)

    def is_pending(self, session_id: str) -> bool:
        """Tell whether the directory of this session is to be removed when its lease ends."""
        reach("look for a mark", MARKS, session_id, "r")
        with self._deployment.opened(PENDING) as pending:
            return pending is not None and look(session_id, pending) is not None

    def next_to_judge(self, limit: int) -> list[str]:
        """Give up to `limit` sessions whose directories may be garbage, those that wait for removal first."""
        # At most half, so that a search for garbage goes on whatever is waiting.
        pending = self._pending((limit + 1) // 2)
        return list(dict.fromkeys([*pending, *self._scan(limit - len(pending))]))

    def _pending(self, limit: int) -> list[str]:
        with self._deployment.opened(PENDING) as pending:
            found = [] if pending is None else _session_ids(pending)
        # By chance: the first few may be in use for long and must not hide the others.
        return _some_of(found, limit)

    def _scan(self, limit: int) -> list[str]:
        # Going on where the last call stopped.
        return list(islice(self._rotating(), limit))

    def empty_trash(self, limit: int) -> Removal:
        """Finish up to `limit` removals that a crash interrupted; what other processes are removing is left to them."""
        files = freed = 0
        with self._deployment.opened(TRASH) as trash:
            if trash is not None:
                # By chance: the first few may be such as cannot be deleted, and must not hide the others.
                for name in _some_of(names_in(trash), limit):
                    removal = self._finish(name, trash)
                    files += removal.files
                    freed += removal.bytes
        return Removal(files=files, bytes=freed, deferred=False)

    def quarantine(self, session_id: str) -> bool:
        """Move the directory of a session out of reach; False if it is in use, or there is nothing to keep.

        There is nothing to keep in an empty one, nor where removal was asked for: then the session was ended, not lost.
        """
        if self.is_pending(session_id):
            self._remove_unless_in_use(session_id)
            return False
        with self._deployment.opened(shard_of(session_id)) as shard:
            try:
                session = None if shard is None else take_exclusive(session_id, shard)
            except FileNotFoundError:
                return False
            if shard is None or session is None:
                return False
            try:
                if not _has_anything(session):
                    # A lease made it for a session that was gone; nobody would ever ask for it again.
                    name = self._move(session_id, session, shard, TRASH)
                    with self._deployment.made(TRASH) as trash:
                        _delete(name, trash, session)
                    return False
                # Its age counts from now, and its files' own times are left for whoever looks at them.
                os.utime(session, (ages_now(self._deployment).sure,) * 2)
                self._move(session_id, session, shard, QUARANTINE)
            finally:
                let_go_exclusive(session_id, session)
        return True

    def empty_quarantine(self, limit: int) -> None:
        """Move up to `limit` directories that nobody asked for in thirty days to the trash.

        Thirty days that have surely passed: those in which the machine was off may not count.
        """
        with self._deployment.opened(QUARANTINE) as quarantine:
            if quarantine is None:
                return
            ages = ages_now(self._deployment)
            # Also by the clock of the machine, for whoever looks at them sets their times by that.
            old = _older(quarantine, min(ages.sure, ages.at.wall) - _QUARANTINE_SECONDS)
            for name in islice(old, limit):
                with self._deployment.made(TRASH) as trash:
                    os.rename(name, name, src_dir_fd=quarantine, dst_dir_fd=trash)

    def _move(self, session_id: str, session: int, shard: int, folder: str) -> str:
        """Give the directory of a session, which is held, a name of its own in `folder`, durably."""
        # First: once it is moved another may come to be under its name, and be given the share of this one.
        self._owners.leave_for_good(session_id, session)
        name = f"{session_id}.{secrets.token_hex(8)}"
        with self._deployment.made(folder) as target:
            reach("move away", FILES_OF_SESSIONS, session_id, "w")
            os.rename(session_id, name, src_dir_fd=shard, dst_dir_fd=target)
            os.fsync(target)
            os.fsync(shard)
        # After the rename: a crash between them leaves a mark too many, never a directory without.
        self._unmark(session_id)
        return name

    def tidy_accounts(self, limit: int) -> None:
        """Take up to `limit` sessions whose directories are gone out of the accounts of their owners."""
        self._owners.forget_the_gone(limit)

    def _rotating(self) -> Iterator[str]:
        # One shard more than there are: the first is visited again for the part before the start.
        for _ in range(len(SHARDS) + 1):
            with self._deployment.opened(SHARDS[self._next_shard]) as shard:
                found = [] if shard is None else _directories(shard)
            for session_id in found:
                if session_id > self._after_session:
                    self._after_session = session_id
                    yield session_id
            self._next_shard = (self._next_shard + 1) % len(SHARDS)
            self._after_session = ""

    def _remove_unless_in_use(self, session_id: str) -> Removal | None:
        """Remove the directory and the mark; None if it is in use."""
        with self._deployment.opened(shard_of(session_id)) as shard:
            try:
                session = None if shard is None else take_exclusive(session_id, shard)
            except FileNotFoundError:
                shard = None
            if shard is None:
                self._unmark(session_id)
                return _NOTHING
            if session is None:
                return None
            # Held until all is deleted: an exclusive lock on something in the trash tells
            # other processes that somebody lives who is deleting it.
            try:
                name = self._move(session_id, session, shard, TRASH)
                with self._deployment.made(TRASH) as trash:
                    reach("delete", FILES_OF_SESSIONS, session_id, "w")
                    return _delete(name, trash, session)
            finally:
                let_go_exclusive(session_id, session)

    def _finish(self, name: str, trash: int) -> Removal:
        try:
            directory = open_directory(name, trash)
        except (FileNotFoundError, NotADirectoryError):
            return _NOTHING
        try:
            if lock_exclusive(directory) and is_still_named(name, trash, directory):
                return _delete(name, trash, directory)
            return _NOTHING
        finally:
            unlock(directory)
            os.close(directory)

    def _mark(self, session_id: str) -> None:
        reach("mark", MARKS, session_id, "w")
        with self._deployment.made(PENDING) as pending:
            with suppress(FileExistsError):
                os.close(make_file(session_id, pending))
            os.fsync(pending)

    def _unmark(self, session_id: str) -> None:
        reach("unmark", MARKS, session_id, "w")
        with self._deployment.opened(PENDING) as pending:
            if pending is not None and look(session_id, pending) is not None:
                with suppress(FileNotFoundError):
                    os.unlink(session_id, dir_fd=pending)


def _has_anything(session: int) -> bool:
    """Tell whether the directory of a session holds a file, also one that has yet to get its name after a crash."""
    # By the names alone: what lies too deep to be walked to, or is mounted, is not to be taken for nothing.
    if _names_below(FILES, session):
        return True
    published = [name for name in _names_below(PRIVATE, session) if name.startswith(PUBLISHING_PREFIX)]
    # Where the plan is alone, all was moved, and deleted since.
    return any(set(_names_below(f"{PRIVATE}/{name}", session)) - {PLAN} for name in published)


def _names_below(path: str, session: int) -> list[str]:
    try:
        directory = open_directory(path, session)
    except FileNotFoundError:
        return []
    try:
        return names_in(directory)
    finally:
        os.close(directory)


def _some_of(names: list[str], limit: int) -> list[str]:
    return random.sample(names, min(limit, len(names)))


def _older(directory: int, instant: float) -> Iterator[str]:
    for name in names_in(directory):
        state = look(name, directory)
        if state is not None and state.st_mtime < instant:
            yield name


def _directories(shard: int) -> list[str]:
    found = ((session_id, look(session_id, shard)) for session_id in _session_ids(shard))
    return [session_id for session_id, state in found if state is not None and stat.S_ISDIR(state.st_mode)]


def _session_ids(directory: int) -> list[str]:
    # Only names that we gave: nothing else there is ever proposed for removal.
    return sorted(name for name in names_in(directory) if is_session_id(name))


def _delete(name: str, trash: int, directory: int) -> Removal:
    """Delete one directory in the trash and give what was in it; what cannot be deleted now stays for the next pass."""
    freed = Freed()
    try:
        if has_mounts_below(directory):
            _log.warning("removal of %s must wait: something is mounted inside it", name)
            return _NOTHING
        delete_directory(name, trash, freed)
    except (OSError, RecursionError) as error:
        _log.warning("removal of %s is not finished and will be tried again: %s", name, error)
    return Removal(files=freed.files, bytes=freed.bytes, deferred=False)
