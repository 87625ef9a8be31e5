"""The system's errors in our words: what happened, and what helps."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sessionguard.errors import SessionGuardError, StoreDataError, StoreUnavailableError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
UNWRITABLE: Final = FULL | {errno.EROFS}

_REMEDIES: Final = {
    errno.ENOSPC: "free some space; what was stored before is intact",
    errno.EDQUOT: "free some space or raise the quota of this user; what was stored before is intact",
    errno.EFBIG: "raise the limit of this user on the size of files; what was stored before is intact",
    errno.EROFS: "mount the file system for writing; what was stored before can be read",
    errno.EMFILE: "raise the limit of open files of this process (ulimit -n), or look for what leaks them",
    errno.ENFILE: "raise the limit of open files of this machine, or look for what leaks them",
    errno.EACCES: "let this user read and write everything in the folder",
    errno.EPERM: "let this user read and write everything in the folder",
    errno.EIO: "see that the disk works",
    errno.ENOENT: "the folder is being changed by another program; nothing but sessionguard may write there",
}
_DAMAGED: Final = frozenset({errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.ENXIO, errno.EEXIST})


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Raise our error for one of the system's in the block."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SessionGuardError):
            raise
        raise translation_of(operation, error) from error


def translation_of(operation: str, error: OSError) -> SessionGuardError:
    """Give our error for one of the system's. Its message names what the system says, never a value."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _DAMAGED:
        message = f"something else stands where a file or folder of the store belongs ({reason}); restore a backup"
        return StoreDataError("file", operation, message)
    remedy = _REMEDIES.get(error.errno or 0)
    return StoreUnavailableError("file", operation, f"{reason}; {remedy}" if remedy else reason)
