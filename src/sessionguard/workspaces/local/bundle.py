"""Write many files of a workspace that appear together: unseen until all are whole, counted while bytes arrive."""

import errno
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from types import TracebackType
from typing import Any, Final, Self

from sessionguard.errors import LeaseLostError, MisuseError, PathEscapeError, WorkspaceError
from sessionguard.workspaces.local.descriptors import make_file, names_in, open_for_reading
from sessionguard.workspaces.local.leases import Lease
from sessionguard.workspaces.local.ledger import Ledger
from sessionguard.workspaces.local.pages import Page
from sessionguard.workspaces.local.publishing import decide, directory_of, finish, write_plan
from sessionguard.workspaces.local.reaches import FILES, reach
from sessionguard.workspaces.local.tree import FileTree, Parts
from sessionguard.workspaces.names import NamesTogether, collision_key
from sessionguard.workspaces.quota import Usage

_FLUSHES_AT_ONCE: Final = 16


class Bundle:
    """Unfinished files in a folder of their own. `publish` gives all of them their names; else none of them is left."""

    def __init__(self, lease: Lease, tree: FileTree, ledger: Ledger, expected: Usage, *, replace: bool) -> None:
        self._lease = lease
        self._tree = tree
        self._ledger = ledger
        self._replace = replace
        self._names = NamesTogether(lease.session_id)
        self._plan: list[Parts] = []
        self._guard = threading.RLock()
        self._reserved, self._size, self._new = expected.bytes, 0, 0
        self._name, folder = ledger.begin(expected, many=True)
        self._folder: int | None = folder
        lease.adopt(folder)
        self._claimed_files = expected.files

    def add(self, parts: Parts, chunks: Iterable[Any]) -> None:
        """Take one more file, whole when this returns, and still unseen."""
        with self._working() as folder:
            self._names.add(parts)
            if self._is_new(parts):
                self._new += 1
                self._claim_files()
            descriptor = make_file(str(len(self._plan)), folder)
        try:
            self._lease.adopt(descriptor)
            for chunk in chunks:
                # Not while waiting for the next one: whoever closes the workspace must not wait for its source.
                with self._working(), memoryview(chunk) as view, view.cast("B") as octets:
                    self._write(descriptor, octets)
        finally:
            self._lease.disown(descriptor)
            os.close(descriptor)
        self._plan.append(parts)

    def publish(self) -> list[str]:
        """Let all files appear, durably, and give their sorted names."""
        with self._working() as folder:
            self._make_durable(folder)
            write_plan(folder, self._plan)
            is_decided = False
            try:
                with self._ledger.opened() as page:
                    # Under the ledger, so that no two writers judge names or count files at the same time.
                    self._lease.check()
                    new = self._judge()
                    self._ledger.admit_files(page, self._name, new)
                    self._make_directories()
                    page.announce(self._name)
                    decided = self._decide(page)
                    is_decided = True
                    finish(self._lease, decided, page.beat)
                    page.book.settle(self._name, Usage(self._size, new))
            except LeaseLostError:
                # Told afterwards, it is about the book alone: whoever took the place of this process finishes.
                if not is_decided:
                    raise
            self._close_folder()
        return sorted("/".join(parts) for parts in self._plan)

    def _decide(self, page: Page) -> str:
        try:
            return decide(self._lease, self._name)
        except FileNotFoundError:
            # Removed by whoever took the place of this process.
            page.check()
            raise

    def discard(self) -> None:
        """Remove what is unfinished. What was published stays."""
        # A forked child must not touch the parent's files, nor wait for a thread that exists only there.
        if self._lease.is_ours:
            with self._guard:
                try:
                    if self._folder is not None:
                        # With the lease gone the folder is left to whoever counts or removes next.
                        with suppress(MisuseError, OSError, WorkspaceError):
                            self._ledger.discard(self._name)
                finally:
                    self._close_folder()

    def _make_durable(self, folder: int) -> None:
        from concurrent.futures import ThreadPoolExecutor  # here, because it loads much

        def flush(number: int) -> None:
            descriptor = open_for_reading(str(number), folder)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

        reach("fsync all", FILES, self._lease.session_id, "r")
        # At once, not one by one: a file system writes its journal for all that wait for it together. On ext4 a
        # thousand files took 0.24 s so, and 2.5 s one after the other.
        with ThreadPoolExecutor(min(_FLUSHES_AT_ONCE, len(self._plan) or 1)) as threads:
            for _ in threads.map(flush, range(len(self._plan))):
                pass

    def _write(self, descriptor: int, octets: memoryview) -> None:
        if self._size + len(octets) > self._reserved:
            self._reserved += self._ledger.reserve(self._name, self._size + len(octets) - self._reserved)
        done = 0
        while done < len(octets):
            done += os.write(descriptor, octets[done:])
        self._size += done

    def _claim_files(self) -> None:
        if self._new > self._claimed_files:
            with self._ledger.opened() as page:
                self._ledger.admit_files(page, self._name, self._new)
            self._claimed_files = self._new

    def _is_new(self, parts: Parts) -> bool:
        """Tell whether nothing has this name now; judged again, with all others, when they are published."""
        try:
            with self._tree.parent(parts) as parent:
                is_new = self._tree.find(parts, parent) is None
        except FileNotFoundError:
            return True
        if not is_new and not self._replace:
            raise _exists(parts)
        return is_new

    def _judge(self) -> int:
        """Give how many names are new, all of them free to be given.

        A directory is listed once, however many files come into it.
        """
        new = 0
        for _, group in groupby(sorted(self._plan), key=lambda parts: parts[:-1]):
            files = list(group)
            try:
                with self._tree.parent(files[0], judge=True) as parent:
                    there = {collision_key(name): name for name in names_in(parent)}
                    new += sum(self._judge_one(parts, parent, there) for parts in files)
            except FileNotFoundError:
                new += len(files)
        return new

    def _judge_one(self, parts: Parts, parent: int, there: dict[str, str]) -> bool:
        if self._tree.find(parts, parent) is not None:
            if not self._replace:
                raise _exists(parts)
            return False
        other = there.get(collision_key(parts[-1]))
        if other is not None and other != parts[-1]:
            problem = f"it differs from the existing {other!a} only in case or in form"
            raise PathEscapeError(self._lease.session_id, "/".join(parts), problem)
        return True

    def _make_directories(self) -> None:
        # Before it is decided, for a full disk is found here rather than when it is too late to give up.
        parents = sorted({parts[:-1] for parts in self._plan})
        try:
            for parent in parents:
                os.close(directory_of(self._lease, parent))
        except BaseException:
            for parent in reversed(parents):
                self._tree.remove_if_empty(parent)
            raise

    @contextmanager
    def _working(self) -> Iterator[int]:
        if not self._lease.is_ours:
            raise MisuseError("these files were begun before a fork; write them in the process that began them")
        with self._guard:
            if self._folder is None:
                raise ValueError("these files are closed")
            yield self._folder

    def _close_folder(self) -> None:
        if self._folder is not None:
            folder, self._folder = self._folder, None
            self._lease.disown(folder)
            os.close(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def _exists(parts: Parts) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), "/".join(parts))
