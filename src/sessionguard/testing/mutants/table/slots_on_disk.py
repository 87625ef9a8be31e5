"""The same service on files and in databases: what only looks wrong there, and what is."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from sessionguard.core.points import point


class InsertsTwice:
    """Selects, and inserts what is missing, into a table of SQLite without a unique constraint."""

    constraint = ""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "slots.db"

    def clear(self) -> None:
        """Make the table empty."""
        with closing(self._connected()) as connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS sessions (slot TEXT {self.constraint}, id TEXT)")
            connection.execute("DELETE FROM sessions")

    def open(self, slot: str, new: str) -> str:
        """Give the session of the slot."""
        with closing(self._connected()) as connection:
            found = self.select(connection, slot)
            if found is None:
                self.insert(connection, slot, new)
                found = self.select(connection, slot)
            assert found is not None
            return found

    def select(self, connection: sqlite3.Connection, slot: str) -> str | None:
        """Give the session that was inserted last."""
        point("SELECT", slot, "r")
        query = "SELECT id FROM sessions WHERE slot = ? ORDER BY rowid DESC"
        row = connection.execute(query, (slot,)).fetchone()
        return None if row is None else str(row[0])

    def insert(self, connection: sqlite3.Connection, slot: str, new: str) -> None:
        """Store a session."""
        point("INSERT", slot, "w")
        connection.execute("INSERT INTO sessions VALUES (?, ?)", (slot, new))

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        return connection


class InsertsOrIgnores(InsertsTwice):
    """Selects, inserts what is missing, and selects again; the table has a unique constraint."""

    constraint = "PRIMARY KEY"

    def insert(self, connection: sqlite3.Connection, slot: str, new: str) -> None:
        point("INSERT OR IGNORE", slot, "w")
        connection.execute("INSERT OR IGNORE INTO sessions VALUES (?, ?)", (slot, new))


class RetriesOnIntegrityError(InsertsOrIgnores):
    """Selects, inserts, and selects again if the unique constraint refuses."""

    def insert(self, connection: sqlite3.Connection, slot: str, new: str) -> None:
        with suppress(sqlite3.IntegrityError):
            InsertsTwice.insert(self, connection, slot, new)


class WritesWhatIsNotThere:
    """Looks whether there is a file for the slot and writes it in a second step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clear(self) -> None:
        """Remove all files."""
        for path in self.folder.glob("*.slot*"):
            path.unlink()

    def open(self, slot: str, new: str) -> str:
        """Give the session of the slot."""
        path = self.folder / f"{slot}.slot"
        point("look", slot, "r")
        if not path.exists():
            point("write", slot, "w")
            path.write_text(new)
        return self.read(slot)

    def read(self, slot: str) -> str:
        """Give what the file says."""
        point("read", slot, "r")
        return (self.folder / f"{slot}.slot").read_text()


class LinksExclusively(WritesWhatIsNotThere):
    """Writes a file of its own (O_EXCL), and gives it the slot's name only if that is free."""

    def open(self, slot: str, new: str) -> str:
        own = self.folder / f"{new}.slot-{os.getpid()}-{id(new)}"
        own.unlink(missing_ok=True)
        with own.open("x") as file:
            file.write(new)
        point("link", slot, "w")
        with suppress(FileExistsError):
            os.link(own, self.folder / f"{slot}.slot")
        own.unlink()
        return self.read(slot)


class ClaimsThenRenames(WritesWhatIsNotThere):
    """Claims the slot exclusively, and renames; who meets the claim of another does the same renaming for it."""

    def open(self, slot: str, new: str) -> str:
        claim, path = self.folder / f"{slot}.slot-claim", self.folder / f"{slot}.slot"
        beside = self.folder / f"{new}.slot-beside"
        beside.write_text(new)
        point("claim", slot, "w")
        # Whole at once, so that whoever meets the claim can finish for the one who made it.
        with suppress(FileExistsError):
            os.link(beside, claim)
        os.unlink(beside)
        point("rename", slot, "w")
        finished = self.folder / f"{new}.slot-finished"
        finished.write_text(claim.read_text())
        os.rename(finished, path)
        return self.read(slot)


class _Locked(WritesWhatIsNotThere):
    def open(self, slot: str, new: str) -> str:
        with self.locked(slot):
            return super().open(slot, new)

    @contextmanager
    def locked(self, slot: str) -> Iterator[None]:
        """Hold the lock of the slot."""
        point("lock", f"lock of {slot}", "acq")
        try:
            with self.lock(self.folder / f"{slot}.lock"):
                yield
        finally:
            point("unlock", f"lock of {slot}", "rel")

    def lock(self, path: Path) -> AbstractContextManager[Any]:
        """Give the lock of a file."""
        raise NotImplementedError


class LooksUnderFlock(_Locked):
    """Looks and writes in two steps, under an advisory lock (flock)."""

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class LooksUnderFileLock(_Locked):
    """Looks and writes in two steps, under a lock of the filelock package."""

    def lock(self, path: Path) -> AbstractContextManager[Any]:
        return FileLock(path)
