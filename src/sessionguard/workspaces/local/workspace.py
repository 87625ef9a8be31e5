"""The private files of one session, while its lease is held."""

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from sessionguard.core.commands import Fence
from sessionguard.errors import PathEscapeError
from sessionguard.workspaces.calls import Source, WorkspaceCalls
from sessionguard.workspaces.local.bundle import Bundle
from sessionguard.workspaces.local.copying import copy_by_the_kernel
from sessionguard.workspaces.local.deleting import Deletion
from sessionguard.workspaces.local.leases import Lease
from sessionguard.workspaces.local.ledger import Ledger
from sessionguard.workspaces.local.owners import Owners
from sessionguard.workspaces.local.reaches import FILES, reach
from sessionguard.workspaces.local.tree import FileTree
from sessionguard.workspaces.local.writing import FileWriter
from sessionguard.workspaces.names import parse_name
from sessionguard.workspaces.quota import Quota, Usage
from sessionguard.workspaces.texts import UnfinishedFile


class LocalWorkspace(WorkspaceCalls):
    """The private directory of one session; it is not removed before it is closed.

    Threads may share it. A forked child may not use it. Names are those of `parse_name`: refused with
    PathEscapeError where they are not on the allow-list or do not name a plain file inside.
    """

    def __init__(
        self,
        lease: Lease,
        quota: Quota,
        owners: Owners,
        after_release: Callable[[str], None],
        fence: Fence | None = None,
    ) -> None:
        self._lease = lease
        self._after_release = after_release
        self._tree = FileTree(lease.session_id, lease.files_descriptor)
        self._ledger = Ledger(lease, self._tree, quota, owners, fence)
        self._writers: weakref.WeakSet[FileWriter | Bundle] = weakref.WeakSet()
        try:
            # Who reads never asks the ledger, and must not see a part of what was to appear together.
            self._ledger.heal()
            if fence is not None:
                # At once, not with the first write: who held the lock before writes nothing more from now on.
                with self._ledger.opened():
                    pass
        except BaseException:
            self.close()
            raise

    @property
    def session_id(self) -> str:
        """Whose files these are."""
        return self._lease.session_id

    @property
    def path(self) -> Path:
        """The directory of the files, for programs that need one; what they put there is outside quota and checks."""
        return self._lease.path

    def list(self) -> list[str]:
        """Give the sorted names of all files that `open` would give, nested ones as "a/b.csv"."""
        with self._lease.using():
            reach("list", FILES, self.session_id, "r")
            found = ["/".join(parts) for parts, state in self._tree.files() if self._tree.is_plain(state)]
        return sorted(name for name in found if self._is_acceptable(name))

    def usage(self) -> Usage:
        """Count all files now, also those that other programs put under `path`."""
        return self._ledger.count()

    def delete(self, name: str) -> bool:
        """Remove a file, and directories left empty by it; False if there was none."""
        parts = parse_name(self.session_id, name)
        removing = Deletion(self._lease, self._tree, self._ledger, parts)
        return removing.run()

    def close(self) -> None:
        """Discard unfinished files and release the lease; a removal that waited for the last lease is done."""
        if not self._lease.is_ours:
            return
        for writer in list(self._writers):
            writer.discard()
        if self._lease.release():
            self._after_release(self.session_id)

    def _opened(self, name: str) -> IO[bytes]:
        parts = parse_name(self.session_id, name)
        with self._lease.using():
            reach("open", FILES, self.session_id, "r")
            descriptor = self._tree.open_file(parts)
        return os.fdopen(descriptor, "rb")

    def _begun(self, name: str, kind: str, expected_bytes: int) -> FileWriter:
        parts = parse_name(self.session_id, name)
        with self._lease.using():
            writer = FileWriter(self._lease, self._tree, self._ledger, parts, kind, expected_bytes)
            self._writers.add(writer)
        return writer

    def _begun_together(self, expected: Usage, *, replace: bool) -> Bundle:
        with self._lease.using():
            bundle = Bundle(self._lease, self._tree, self._ledger, expected, replace=replace)
            self._writers.add(bundle)
        return bundle

    def _filled(self, writer: UnfinishedFile, source: Source) -> int:
        done = copy_by_the_kernel(source, cast("FileWriter", writer))
        return done + super()._filled(writer, source)

    def _is_acceptable(self, name: str) -> bool:
        with suppress(PathEscapeError):
            return "/".join(parse_name(self.session_id, name)) == name
        return False

    def __repr__(self) -> str:
        return f"<LocalWorkspace of session {self.session_id}>"
