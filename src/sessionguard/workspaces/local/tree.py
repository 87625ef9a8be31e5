"""The files of one workspace, reached from a directory descriptor and never outside of it."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from sessionguard.errors import PathEscapeError
from sessionguard.workspaces.local.descriptors import (
    examine,
    is_same_inode,
    look,
    make_directory,
    names_in,
    open_directory,
    open_for_reading,
)
from sessionguard.workspaces.names import collision_key

Parts = tuple[str, ...]

# A tree made by another program may be deeper than any name allows; a walk holds one descriptor a level.
_DEEPEST_WALK = 64
_REPLACED_ATTEMPTS = 100


class FileTree:
    """What lies under one directory descriptor, which stays the caller's. Names come from `parse_name`."""

    def __init__(self, session_id: str, directory: int) -> None:
        self._session_id = session_id
        self._directory = directory
        self._device = os.fstat(directory).st_dev
        self._user = os.geteuid()

    @contextmanager
    def parent(self, parts: Parts, *, create: bool = False, judge: bool = False) -> Iterator[int]:
        """Give a descriptor of the directory that `parts` is in; it closes at the end.

        With `create` the missing ones are made, mode 0700. With `create` or `judge` a missing one is
        refused if its name collides with an existing one.

        Raises:
            PathEscapeError: a component is a link, a mount point or no directory, or collides.
            FileNotFoundError: one is missing.
        """
        if len(parts) == 1:
            yield self._directory
            return
        descriptor = self._opened_parent(parts, create, judge)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open_file(self, parts: Parts) -> int:
        """Give a descriptor for reading a plain file; close it. Never waits.

        Raises:
            PathEscapeError: something else has that name.
            FileNotFoundError: nothing has.
        """
        with self.parent(parts) as parent:
            for _ in range(_REPLACED_ATTEMPTS):
                expected = self.find(parts, parent)
                if expected is None:
                    break
                descriptor = self._open_same(parts, parent, expected)
                if descriptor is not None:
                    return descriptor
        raise _missing(parts)

    def find(self, parts: Parts, parent: int) -> os.stat_result | None:
        """Give the state of a plain file in `parent`, or None if nothing has that name.

        Raises:
            PathEscapeError: something else has it, such as a link, a device, a directory or another user's file.
        """
        try:
            found = examine(parts[-1], parent)
        except OSError as error:
            if error.errno == errno.EXDEV:
                self._refuse(parts, "it is a mount point")
            raise
        if found is not None:
            problem = self._problem(found)
            if problem is not None:
                self._refuse(parts, problem)
        return found

    def check_free(self, parts: Parts) -> bool:
        """Tell whether writing `parts` would make a new file, without making anything.

        Raises:
            PathEscapeError: a plain file cannot be written there.
        """
        try:
            with self.parent(parts, judge=True) as parent:
                if self.find(parts, parent) is not None:
                    return False
                self.check_collision(parts, parts[-1], parent)
        except FileNotFoundError:
            pass
        return True

    def check_collision(self, parts: Parts, part: str, parent: int) -> None:
        """Return if no other name in `parent` is the same as `part` to a reader or to another file system.

        Raises:
            PathEscapeError: one is.
        """
        key = collision_key(part)
        for other in names_in(parent):
            if other != part and collision_key(other) == key:
                self._refuse(parts, f"it differs from the existing {other!a} only in case or in form")

    def files(self) -> Iterator[tuple[Parts, os.stat_result]]:
        """Give everything but directories, with its state and in no order; other file systems too, unentered."""
        yield from _files_below(self._directory, self._device, ())

    def remove_if_empty(self, directory: Parts) -> None:
        """Remove a directory, and those above it, as far as they are empty."""
        # Innermost first. Kept, empty directories would be something that no quota counts.
        with suppress(OSError, PathEscapeError):
            for length in range(len(directory), 0, -1):
                with suppress(FileNotFoundError), self.parent(directory[:length]) as parent:
                    os.rmdir(directory[length - 1], dir_fd=parent)

    def is_plain(self, found: os.stat_result) -> bool:
        """Tell whether `open_file` would give a file in this state."""
        return self._problem(found) is None

    def _opened_parent(self, parts: Parts, create: bool, judge: bool) -> int:
        try:
            return self._entered(parts, "/".join(parts[:-1]), self._directory)
        except FileNotFoundError:
            if not create and not judge:
                # Only the caller's own name goes into an error, never the path of this machine.
                raise _missing(parts) from None
        above = os.dup(self._directory)
        for part in parts[:-1]:
            try:
                descriptor = self._entered_or_made(parts, part, above, create)
            finally:
                os.close(above)
            above = descriptor
        return above

    def _entered_or_made(self, parts: Parts, part: str, parent: int, create: bool) -> int:
        try:
            return self._entered(parts, part, parent)
        except FileNotFoundError:
            self.check_collision(parts, part, parent)
            if not create:
                raise _missing(parts) from None
        try:
            return self._judged(parts, make_directory(part, parent))
        except NotADirectoryError as error:
            # Somebody else put something there at this moment.
            self._refuse_directory(parts, error)

    def _entered(self, parts: Parts, path: str, parent: int) -> int:
        try:
            return self._judged(parts, open_directory(path, parent))
        except NotADirectoryError as error:
            self._refuse_directory(parts, error)

    def _judged(self, parts: Parts, descriptor: int) -> int:
        # A subvolume of btrfs is no mount, and yet another file system to whoever links or renames.
        if os.fstat(descriptor).st_dev != self._device:
            os.close(descriptor)
            self._refuse(parts, "one of its directories is another file system")
        return descriptor

    def _refuse_directory(self, parts: Parts, error: OSError) -> NoReturn:
        if error.errno == errno.EXDEV:
            self._refuse(parts, "one of its directories is a mount point")
        self._refuse(parts, "one of its directories is a link or not a directory")

    def _open_same(self, parts: Parts, parent: int, expected: os.stat_result) -> int | None:
        """Give a descriptor of the very file that `expected` describes, or None if the name changed hands."""
        try:
            descriptor = open_for_reading(parts[-1], parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EXDEV):
                self._refuse(parts, "it is not a plain file")
            raise
        # The file seen before the open had one link, this name. A hard link to a foreign file that was
        # swapped in and unlinked again would show one link too, but not the same inode.
        if is_same_inode(os.fstat(descriptor), expected):
            return descriptor
        os.close(descriptor)
        return None

    def _problem(self, found: os.stat_result) -> str | None:
        if stat.S_ISLNK(found.st_mode):
            return "it is a symbolic link"
        if stat.S_ISDIR(found.st_mode):
            return "it is a directory"
        if not stat.S_ISREG(found.st_mode):
            return "it is not a plain file"
        if found.st_nlink > 1:
            return "it is a hard link to a file that has other names"
        if found.st_dev != self._device:
            return "it is on another file system"
        if found.st_uid != self._user:
            return "it belongs to another user"
        return None

    def _refuse(self, parts: Parts, problem: str) -> NoReturn:
        raise PathEscapeError(self._session_id, "/".join(parts), problem)


def _missing(parts: Parts) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/".join(parts))


def _files_below(directory: int, device: int, above: Parts) -> Iterator[tuple[Parts, os.stat_result]]:
    for name in names_in(directory):
        found = look(name, directory)
        if found is None:
            continue
        if not stat.S_ISDIR(found.st_mode) or found.st_dev != device:
            yield (*above, name), found
        elif len(above) < _DEEPEST_WALK:
            yield from _files_below_child(directory, name, device, above)


def _files_below_child(parent: int, name: str, device: int, above: Parts) -> Iterator[tuple[Parts, os.stat_result]]:
    try:
        directory = open_directory(name, parent)
    except (FileNotFoundError, NotADirectoryError):
        # Removed or replaced since it was seen, or a part of this file system is mounted on it.
        return
    try:
        yield from _files_below(directory, device, (*above, name))
    finally:
        os.close(directory)
