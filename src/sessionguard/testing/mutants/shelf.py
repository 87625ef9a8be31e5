"""A model whose sessions lie in a file, right for any number of processes, and its twin that is right in one alone."""

import os
import pickle
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sessionguard.testing.contracts.capabilities import EVERYTHING
from sessionguard.testing.model import ModelStore
from sessionguard.testing.mutants.planting import planted


class ShelfStore(ModelStore):
    """Keeps everything in one row of a SQLite file, and holds the file's write lock from reading to writing."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._connection = sqlite3.connect(path, timeout=60.0, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("CREATE TABLE IF NOT EXISTS shelf (place INTEGER PRIMARY KEY, content BLOB)")

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold the lock of this process and that of the file for one command."""
        with super().step():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._take()
                yield
                self._put()
            finally:
                self._connection.execute("COMMIT")

    def _take(self) -> None:
        row = self._connection.execute("SELECT content FROM shelf").fetchone()
        if row is not None:
            self.entries, self.generations, self.holdings, self.answers = pickle.loads(row[0])

    def _put(self) -> None:
        content = pickle.dumps((self.entries, self.generations, self.holdings, self.answers))
        self._connection.execute("INSERT OR REPLACE INTO shelf VALUES (1, ?)", (content,))

    def close(self) -> None:
        """Close the file, too."""
        with self.lock:
            if not self.closed:
                self._connection.close()
            super().close()


_ONE_LOCK_A_PROCESS = threading.Lock()


@planted("t12_every_caller_gets_the_one_session", capabilities=EVERYTHING, modes=("processes",))
class LocksOneProcessOnly(ShelfStore):
    """Reads and writes under a lock of its own process, so it is right in threads and wrong in two workers."""

    patience = 0.3

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold only a lock that other processes do not see."""
        with _ONE_LOCK_A_PROCESS, ModelStore.step(self):
            self._take()
            before = (len(self.entries), dict(self.generations))
            yield
            if before != (len(self.entries), self.generations):
                self._gap()
            self._put()

    def _gap(self) -> None:
        # As long as no other process has written, keep it possible that one does.
        revision = self._revision()
        until = time.monotonic() + self.patience
        while self._revision() == revision and time.monotonic() < until:
            time.sleep(0.001)

    def _revision(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
