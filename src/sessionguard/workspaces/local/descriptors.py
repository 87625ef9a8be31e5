"""Open directories and files relative to a directory descriptor, never through a link or into a mount."""

import errno
import os
import stat

from sessionguard.workspaces.local.beneath import open_beneath

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


def open_directory(name: str, parent: int | None = None) -> int:
    """Give a descriptor of the directory `name` itself, a path below `parent` or any path without one; close it.

    Raises:
        NotADirectoryError: it, or a part of the path below `parent`, is a symbolic link, a mount point (with the errno
            EXDEV) or not a directory.
        FileNotFoundError: there is none.
    """
    if parent is None:
        return os.open(name, _DIRECTORY)
    try:
        return open_beneath(name, parent, _DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV):
            raise NotADirectoryError(error.errno, os.strerror(error.errno), name) from error
        raise


def make_directory(name: str, parent: int | None = None) -> int:
    """Give a descriptor of the directory `name`, made with mode 0700 if absent, and then durable; close it."""
    try:
        os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)
    except FileExistsError:
        return open_directory(name, parent)
    descriptor = open_directory(name, parent)
    try:
        # A umask can only have taken bits away, a default ACL or a setgid parent can have added some.
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != DIRECTORY_MODE:
            os.fchmod(descriptor, DIRECTORY_MODE)
        if parent is not None:
            os.fsync(parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_file(name: str, parent: int) -> int:
    """Create the file `name`, mode 0600 whatever the umask, and give a descriptor for writing; close it.

    Raises:
        FileExistsError: something has that name.
    """
    descriptor = open_beneath(name, parent, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_for_reading(name: str, parent: int) -> int:
    """Give a descriptor of whatever `name` is, without following a link and without waiting; close it."""
    return open_beneath(name, parent, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)


def open_or_make_file(name: str, parent: int) -> int:
    """Give a descriptor for reading and writing of the file `name`, made with mode 0600 if absent; close it."""
    # No O_TRUNC: what is in it may be in use.
    descriptor = open_beneath(name, parent, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, FILE_MODE)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_for_writing(name: str, parent: int) -> int:
    """Give a descriptor for reading and writing of the file `name`, which is there; close it. Never waits."""
    return open_beneath(name, parent, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)


def examine(name: str, parent: int) -> os.stat_result | None:
    """Give what `name` itself is, or None if there is nothing. Unlike `look` it refuses a mount point, with EXDEV."""
    try:
        descriptor = open_beneath(name, parent, os.O_PATH)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def names_in(directory: int) -> list[str]:
    """Give the names in a directory, in no order."""
    # Through a descriptor of its own: a duplicate shares its reading position, and two threads
    # listing one descriptor would each get a part of the names.
    own = open_directory(".", directory)
    try:
        return os.listdir(own)
    finally:
        os.close(own)


def look(name: str, parent: int) -> os.stat_result | None:
    """Give what `name` itself is, links not followed, or None if there is nothing."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_same_inode(one: os.stat_result, other: os.stat_result) -> bool:
    """Tell whether both describe the same file or directory."""
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def is_still_named(name: str, parent: int, descriptor: int) -> bool:
    """Tell whether `name` in `parent` is, right now, what `descriptor` has open."""
    found = look(name, parent)
    return found is not None and is_same_inode(found, os.fstat(descriptor))
