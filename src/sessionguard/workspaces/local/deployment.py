"""Open the directories of one deployment below a root that other deployments may share."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sessionguard.errors import ConfigurationError
from sessionguard.workspaces.identities import deployment_folder
from sessionguard.workspaces.local.descriptors import look, make_directory, open_directory
from sessionguard.workspaces.local.layout import FILES, shard_of

# The last: of a file system that is no place for files, such as /proc.
_NOT_WRITABLE: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT})
_REMEDY: Final = "name one that this process may write to, or give it the right to"


class Deployment:
    """The place of one deployment. It holds no descriptor, so it survives a fork and a replaced root."""

    def __init__(self, root: str, deployment_id: str) -> None:
        self.root = root
        self.folder = deployment_folder(deployment_id)

    def session_path(self, session_id: str) -> str:
        """Give the path of the directory of a session, existing or not."""
        return os.path.join(self.root, self.folder, shard_of(session_id), session_id)

    def files_path(self, session_id: str) -> str:
        """Give the path of the files of a session, existing or not."""
        return os.path.join(self.session_path(session_id), FILES)

    @contextmanager
    def opened(self, *folders: str) -> Iterator[int | None]:
        """Give a descriptor of a directory of this deployment, or None if there is none.

        Raises:
            ConfigurationError: the root is not one to trust.
        """
        try:
            descriptor = open_checked_root(self.root)
        except FileNotFoundError:
            yield None
            return
        try:
            found = True
            for folder in (self.folder, *folders):
                if look(folder, descriptor) is None:
                    found = False
                    break
                descriptor = _step(descriptor, self._checked(open_directory, folder, descriptor))
            yield descriptor if found else None
        finally:
            os.close(descriptor)

    @contextmanager
    def made(self, *folders: str) -> Iterator[int]:
        """Give a descriptor of a directory of this deployment, made with all above it where absent.

        Raises:
            ConfigurationError: the root is not one to trust.
        """
        make_root(self.root)
        descriptor = open_checked_root(self.root)
        try:
            for folder in (self.folder, *folders):
                descriptor = _step(descriptor, self._checked(make_directory, folder, descriptor))
            yield descriptor
        finally:
            os.close(descriptor)

    def make(self) -> None:
        """Make the directory of this deployment, with all above it, where absent.

        Raises:
            ConfigurationError: the root is not one to trust, or nothing can be made in it.
        """
        try:
            with self.made():
                pass
        except OSError as error:
            # A full disk is no wrong setting: that may soon be otherwise.
            if error.errno not in _NOT_WRITABLE:
                raise
            remedy = f"nothing can be made in it ({error.strerror}); {_REMEDY}"
            raise ConfigurationError("workspaces", self.root, remedy) from error

    def _checked(self, opening: Callable[[str, int], int], folder: str, parent: int) -> int:
        try:
            return opening(folder, parent)
        except NotADirectoryError as error:
            remedy = f"{folder!r} in it is a link, a mount point or not a directory; remove or unmount that"
            raise ConfigurationError("workspaces", self.root, remedy) from error


def make_root(root: str) -> None:
    """Make the root with mode 0700, and what is missing above it; leave an existing one as it is.

    Raises:
        ConfigurationError: it cannot be made.
    """
    if os.path.lexists(root):
        return
    try:
        _make_missing(root)
    except OSError as error:
        remedy = f"the directory cannot be made ({error.strerror}); {_REMEDY}"
        raise ConfigurationError("workspaces", root, remedy) from error


def _make_missing(path: str) -> None:
    parent = os.path.dirname(path)
    if parent != path and not os.path.isdir(parent):
        _make_missing(parent)
    # The parents that we make are private too: whoever may write to one could put another root in place.
    os.close(make_directory(path))


def open_checked_root(root: str) -> int:
    """Give a descriptor of the root; close it.

    Raises:
        ConfigurationError: it is a link, belongs to someone else, or others may write to it.
        FileNotFoundError: there is none.
    """
    try:
        descriptor = open_directory(root)
    except NotADirectoryError as error:
        remedy = "it is a symbolic link or not a directory; name the directory itself"
        raise ConfigurationError("workspaces", root, remedy) from error
    except PermissionError as error:
        raise ConfigurationError("workspaces", root, "this process may not open it") from error
    problem = _problem(os.fstat(descriptor))
    if problem is not None:
        os.close(descriptor)
        raise ConfigurationError("workspaces", root, problem)
    return descriptor


def _problem(found: os.stat_result) -> str | None:
    if found.st_uid != os.geteuid():
        return "it belongs to another user; give a directory owned by the user this process runs as"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it; remove that permission (chmod go-w)"
    return None


def _step(parent: int, child: int) -> int:
    os.close(parent)
    return child
