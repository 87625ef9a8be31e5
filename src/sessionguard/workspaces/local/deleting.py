"""Delete one file of a workspace: at once, or not at all if its deleter stood still and another took his place."""

import errno
import os
from contextlib import suppress

from sessionguard.errors import LeaseLostError
from sessionguard.workspaces.local.descriptors import DIRECTORY_MODE, open_directory
from sessionguard.workspaces.local.keeping import not_passed_by
from sessionguard.workspaces.local.layout import GONE
from sessionguard.workspaces.local.leases import Lease
from sessionguard.workspaces.local.ledger import Ledger
from sessionguard.workspaces.local.pages import Page
from sessionguard.workspaces.local.reaches import FILES, reach
from sessionguard.workspaces.local.tree import FileTree, Parts

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Deletion:
    """The deletion of the file `parts`."""

    def __init__(self, lease: Lease, tree: FileTree, ledger: Ledger, parts: Parts) -> None:
        self._lease = lease
        self._tree = tree
        self._ledger = ledger
        self._parts = parts
        self._is_done = False

    def run(self) -> bool:
        """Do it, durably; False if there is no such file.

        Raises:
            PathEscapeError: something else has that name.
            LeaseLostError: this process stood still, and nothing was deleted.
        """
        directory: int | None = None
        try:
            # Under the ledger: else a directory could be removed while a writer is about to publish into it.
            with self._ledger.opened() as page, self._tree.parent(self._parts) as parent:
                if self._tree.find(self._parts, parent) is None:
                    return False
                directory = os.dup(parent)
                self._take_away(page, parent)
                self._tree.remove_if_empty(self._parts[:-1])
        except FileNotFoundError:
            return self._is_done
        except LeaseLostError:
            # Told afterwards, it is about the book alone: whoever took the place of this process counts anew.
            if not self._is_done:
                raise
        finally:
            if directory is not None:
                self._flush(directory)
        return True

    def _take_away(self, page: Page, parent: int) -> None:
        name = self._parts[-1]
        try:
            gone = self._made_gone(page)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            # On a full disk there is no other way to make room. What comes late here would delete what somebody has
            # written since, so nobody takes the place of this process meanwhile, even if it stands still.
            with not_passed_by(self._lease.private_descriptor):
                page.check()
                reach("unlink", FILES, self._lease.session_id, "w")
                os.unlink(name, dir_fd=parent)
                self._is_done = True
            return
        try:
            self._rename(name, parent, gone, page)
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=gone)
        finally:
            os.close(gone)
            with suppress(OSError):
                os.rmdir(GONE, dir_fd=self._lease.private_descriptor)

    def _rename(self, name: str, parent: int, gone: int, page: Page) -> None:
        reach("unlink", FILES, self._lease.session_id, "w")
        try:
            # Not unlinked where it is: whoever takes the place of this process removes that folder, and from then on
            # this call fails. An unlink that came late would delete what somebody has written since.
            os.rename(name, name, src_dir_fd=parent, dst_dir_fd=gone)
        except FileNotFoundError:
            page.check()
            raise
        self._is_done = True

    def _made_gone(self, page: Page) -> int:
        private = self._lease.private_descriptor
        with suppress(FileExistsError):
            os.mkdir(GONE, DIRECTORY_MODE, dir_fd=private)
        gone = open_directory(GONE, private)
        try:
            page.announce(GONE)
        except BaseException:
            os.close(gone)
            raise
        return gone

    def _flush(self, directory: int) -> None:
        try:
            if self._is_done:
                # Outside the ledger: this is the slow part.
                os.fsync(directory)
        finally:
            os.close(directory)
