"""Write many files of a workspace that appear together, in one replacement of the manifest."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from sessionguard.errors import MisuseError, SessionGuardError, WorkspaceUnavailableError
from sessionguard.workspaces.names import NamesTogether
from sessionguard.workspaces.quota import Usage
from sessionguard.workspaces.s3.bucket import MOST_KEYS
from sessionguard.workspaces.s3.layout import part_of
from sessionguard.workspaces.s3.ledger import Ledger
from sessionguard.workspaces.s3.manifest import Entry
from sessionguard.workspaces.s3.room import Room
from sessionguard.workspaces.s3.uploading import Uploading


class Bundle:
    """Unfinished files under one claim. `publish` gives all of them their names; else none of them is left."""

    def __init__(self, ledger: Ledger, expected: Usage, *, replace: bool) -> None:
        self._ledger = ledger
        self._replace = replace
        self._names = NamesTogether(ledger.session_id)
        self._guard = threading.RLock()
        self._pid = os.getpid()
        self._files: dict[str, Entry] = {}
        self._bytes = self._new = 0
        self._uploading: Uploading | None = None
        self._claim = ledger.begin([], expected, replace=replace)
        self._room = Room(ledger, self._claim, expected)
        self._there = ledger.look().files.keys()
        self._is_finished = False

    def add(self, parts: tuple[str, ...], chunks: Iterable[Any]) -> None:
        """Take one more file, whole when this returns, and still unseen."""
        name, content = "/".join(parts), part_of(self._claim, len(self._files))
        with self._working():
            self._names.add(parts)
            if name not in self._there:
                self._new += 1
            self._room.make(Usage(self._bytes, self._new))
            uploading = self._uploading = Uploading(self._ledger.bucket, self._ledger.key_of(content))
        for chunk in chunks:
            # Not while waiting for the next one: whoever closes the workspace must not wait for its source.
            with self._working(), memoryview(chunk) as view, view.cast("B") as octets:
                self._room.make(Usage(self._bytes + len(octets), self._new))
                uploading.write(octets)
                self._bytes += len(octets)
        with self._working():
            uploading.finish()
            self._uploading = None
            self._files[name] = Entry(content, uploading.bytes)

    def publish(self) -> list[str]:
        """Let all files appear, at once, and give their sorted names."""
        with self._working():
            # As of a single file: from here on they may be visible, whatever interrupts us.
            self._is_finished = True
            try:
                self._ledger.publish(self._claim, self._files, replace=self._replace)
            except WorkspaceUnavailableError:
                raise
            except (SessionGuardError, FileExistsError):
                self._is_finished = False
                raise
        return sorted(self._files)

    def discard(self) -> None:
        """Remove what is unfinished. What was published stays."""
        # A forked child must not touch the parent's files, nor wait for a thread that exists only there.
        if os.getpid() != self._pid:
            return
        with self._guard:
            is_unpublished, self._is_finished = not self._is_finished, True
            if is_unpublished:
                if self._uploading is not None:
                    self._uploading.discard()
                # Out of reach, they go by their age, and the claim lapses.
                with suppress(SessionGuardError):
                    keys = [self._ledger.key_of(entry.content) for entry in self._files.values()]
                    for start in range(0, len(keys), MOST_KEYS):
                        self._ledger.bucket.delete(keys[start : start + MOST_KEYS])
                    self._ledger.drop(self._claim)

    @contextmanager
    def _working(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise MisuseError("these files were begun before a fork; write them in the process that began")
        with self._guard:
            if self._is_finished:
                raise ValueError("these files were discarded, or have appeared")
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, WorkspaceUnavailableError):
            # Asking for their removal would wait as long again.
            with self._guard:
                self._is_finished = True
                self._ledger.forget(self._claim)
                if self._uploading is not None:
                    self._uploading.forget()
        self.discard()
