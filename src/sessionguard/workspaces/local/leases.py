"""Hold the directory of a session: shared while it is in use, exclusive to remove it."""

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sessionguard.errors import LeaseLostError, MisuseError, PathEscapeError
from sessionguard.workspaces.local.deployment import Deployment
from sessionguard.workspaces.local.descriptors import is_same_inode, is_still_named, make_directory, open_directory
from sessionguard.workspaces.local.layout import FILES, PRIVATE, shard_of
from sessionguard.workspaces.local.reaches import LEASES, give_back, reach, take, taken

# A removal holds a directory that still has its name only while it renames it.
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.002
_NO_DIRECTORY = "its directory is a link, a mount point or not a directory"

_held: "weakref.WeakSet[Lease]" = weakref.WeakSet()


def lock_shared(descriptor: int) -> bool:
    """Tell whether the directory is now held shared; False when someone holds it exclusively."""
    return _lock(descriptor, exclusive=False)


def lock_exclusive(descriptor: int) -> bool:
    """Tell whether the directory is now held by us alone; False when anyone holds it. Never waits."""
    return _lock(descriptor, exclusive=True)


def _lock(descriptor: int, *, exclusive: bool) -> bool:
    import portalocker  # here, because it loads much, and redis where that is installed

    kind = portalocker.LockFlags.EXCLUSIVE if exclusive else portalocker.LockFlags.SHARED
    try:
        # flock: it belongs to this open descriptor, so threads exclude one another and closing some
        # other descriptor of the same directory does not drop it, as it would with lockf.
        portalocker.lock(descriptor, kind | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Hold the directory no longer: not by closing alone, for a child forked meanwhile may have the descriptor."""
    import portalocker

    portalocker.unlock(descriptor)


def is_held(descriptor: int) -> bool:
    """Tell whether someone holds the directory; nobody finds it held for longer than it takes to ask."""
    if not lock_exclusive(descriptor):
        return True
    unlock(descriptor)
    return False


class Lease:
    """A shared claim on one session's directory, and the descriptors that stand on it."""

    def __init__(self, session_id: str, path: Path, session: int, files: int, private: int) -> None:
        self.session_id = session_id
        self.path = path
        self.session_descriptor = session
        self.files_descriptor = files
        self.private_descriptor = private
        self._pid = os.getpid()
        self._open = {session, files, private}
        self._users = 0
        self._is_released = False
        self._changed = threading.Condition()
        _held.add(self)

    @property
    def is_ours(self) -> bool:
        """Whether this process took the lease; a forked child holds none."""
        return os.getpid() == self._pid

    @contextmanager
    def using(self) -> Iterator[None]:
        """Keep the descriptors open for the length of the block.

        Raises:
            MisuseError: the lease was released, or belongs to the process this one was forked from.
        """
        # First: a lock inherited through a fork may be held by a thread that does not exist here.
        if not self.is_ours:
            raise MisuseError("this workspace was opened before a fork; open it again in the child")
        with self._changed:
            if self._is_released:
                raise MisuseError("this workspace is closed; open it again with guard.workspace(session)")
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def check(self) -> None:
        """Return if the path still names the directory that is held; what is written will be found there.

        Raises:
            LeaseLostError: someone removed or replaced the directory although it was in use.
        """
        try:
            found = os.stat(self.path.parent, follow_symlinks=False)
        except FileNotFoundError:
            raise LeaseLostError(self.session_id, "its directory was removed by another program") from None
        if not is_same_inode(found, os.fstat(self.session_descriptor)):
            raise LeaseLostError(self.session_id, "its directory was replaced by another program")

    def adopt(self, descriptor: int) -> None:
        """Have `descriptor` closed in a forked child."""
        self._open.add(descriptor)

    def disown(self, descriptor: int) -> None:
        """Leave `descriptor` to its owner, who is about to close it."""
        self._open.discard(descriptor)

    def release(self) -> bool:
        """Let go, once calls in progress have ended; True for the one call that did it, in the process that took it."""
        if not self.is_ours:
            return False
        reach("let go", LEASES, self.session_id, "r")
        with self._changed:
            if self._is_released:
                return False
            self._is_released = True
            self._changed.wait_for(lambda: self._users == 0)
        unlock(self.session_descriptor)
        self._close(self.session_descriptor, self.files_descriptor, self.private_descriptor)
        return True

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            self._open.discard(descriptor)
            os.close(descriptor)

    def _forget_in_child(self) -> None:
        # Closing only: unlocking would take the lock from the parent, whose lock it is. Kept open,
        # a child that outlives its parent would keep the directory in use for ever.
        self._is_released = True
        self._close(*self._open)

    def __del__(self) -> None:
        if self.is_ours and not self._is_released:
            self._is_released = True
            self._close(self.session_descriptor, self.files_descriptor, self.private_descriptor)


def _forget_all_in_child() -> None:
    for lease in list(_held):
        lease._forget_in_child()
    _held.clear()


os.register_at_fork(after_in_child=_forget_all_in_child)


def take_shared(deployment: Deployment, session_id: str) -> Lease:
    """Give a lease on the directory of a session, which is made on first use.

    Raises:
        LeaseLostError: it was removed at the same moment; its session has ended.
        PathEscapeError: something else stands where the directory belongs.
    """
    with deployment.made(shard_of(session_id)) as shard:
        session = _made(session_id, session_id, shard)
        opened = [session]
        try:
            _wait_for_shared(session_id, session, shard)
            for name in (FILES, PRIVATE):
                opened.append(_made(session_id, name, session))
                _check_device(session_id, name, opened[-1], session)
        except BaseException:
            for descriptor in opened:
                os.close(descriptor)
            raise
    return Lease(session_id, Path(deployment.files_path(session_id)), *opened)


def _made(session_id: str, name: str, parent: int) -> int:
    try:
        return make_directory(name, parent)
    except NotADirectoryError:
        raise PathEscapeError(session_id, name, _NO_DIRECTORY) from None
    except FileNotFoundError:
        # Removed between the making and the opening; not made anew, as below.
        raise LeaseLostError(session_id, "its directory was removed while it was being opened") from None


def _check_device(session_id: str, name: str, descriptor: int, session: int) -> None:
    if os.fstat(descriptor).st_dev != os.fstat(session).st_dev:
        raise PathEscapeError(session_id, name, "its directory is another file system")


def _wait_for_shared(session_id: str, session: int, shard: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    # No longer than to pass by whoever removes it; who else holds it shared does not matter.
    with taken(LEASES, session_id):
        reach("hold shared", LEASES, session_id, "r")
        while not lock_shared(session):
            if not is_still_named(session_id, shard, session) or time.monotonic() > deadline:
                raise LeaseLostError(session_id, "its directory is being removed")
            time.sleep(_PAUSE_SECONDS)
    # Only now: a removal may have renamed the directory between our opening and our locking it, and
    # what is written into it would vanish. It is not made anew either: the session has ended.
    if not is_still_named(session_id, shard, session):
        raise LeaseLostError(session_id, "its directory was removed while it was being opened")


def take_exclusive(session_id: str, shard: int) -> int | None:
    """Give a descriptor that holds the directory of a session exclusively; let it go. None while it is in use.

    Raises:
        FileNotFoundError: there is no such directory, or someone else is removing it.
        PathEscapeError: something else stands where the directory belongs.
    """
    try:
        session = open_directory(session_id, shard)
    except NotADirectoryError:
        raise PathEscapeError(
            session_id, session_id, "its directory is a link, a mount point or not a directory"
        ) from None
    try:
        take(LEASES, session_id)
        reach("hold alone", LEASES, session_id, "w")
        is_held = lock_exclusive(session)
        # The lock may have been free because another removal has renamed the directory meanwhile.
        if is_held and not is_still_named(session_id, shard, session):
            raise FileNotFoundError(session_id)
    except BaseException:
        let_go_exclusive(session_id, session)
        raise
    if not is_held:
        let_go_exclusive(session_id, session)
        return None
    return session


def let_go_exclusive(session_id: str, session: int) -> None:
    """Close the descriptor that holds a directory exclusively."""
    unlock(session)
    os.close(session)
    give_back(LEASES, session_id)
