"""Room that is kept for ending sessions on a full disk."""

import os
from contextlib import suppress
from typing import Final

from sessionguard.stores.file import changeset
from sessionguard.stores.file.folder import Folder

BYTES: Final = 128 * 1024
_PATH: Final = "ballast"
_ENOUGH_FREE: Final = 16 * BYTES


def keep(folder: Folder) -> None:
    """Take the room, if it is not taken yet and the disk has plenty."""
    with suppress(OSError):
        free = os.fstatvfs(folder.descriptor)
        if free.f_bavail * free.f_frsize >= _ENOUGH_FREE and not _size(folder):
            changeset.write_file(folder.descriptor, _PATH, b"\xff" * BYTES)


def release(folder: Folder) -> bool:
    """Free the room; False if there was none."""
    try:
        had_room = _size(folder) > 0
        os.unlink(_PATH, dir_fd=folder.descriptor)
    except OSError:
        return False
    return had_room


def _size(folder: Folder) -> int:
    try:
        return os.stat(_PATH, dir_fd=folder.descriptor, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
