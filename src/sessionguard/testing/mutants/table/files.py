"""Files that are read, or found by who comes after a kill, half-way between two states."""

import os
import shutil
from functools import partial
from pathlib import Path

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.mutants.table.rows import Make
from sessionguard.testing.schedule import Scenario

# Row 9: finished before it can be found


class FinishesBeforePublishing:
    """Marks an upload as finished, and enters it into the index afterwards."""

    def __init__(self, folder: Path) -> None:
        self._status, self._index = folder / "finished", folder / "index"

    def clear(self) -> None:
        """Nothing was uploaded."""
        self._status.unlink(missing_ok=True)
        self._index.unlink(missing_ok=True)

    def finish(self) -> None:
        """The upload is complete."""
        self.mark()
        self.publish()

    def mark(self) -> None:
        """Note that it is finished."""
        point("mark", "status", "w")
        self._status.touch()

    def publish(self) -> None:
        """Let it be found."""
        point("publish", "index", "w")
        self._index.touch()

    def look(self) -> tuple[bool, bool]:
        """Tell whether it is finished, and whether it is found."""
        point("read status", "status", "r")
        is_finished = self._status.exists()
        point("find", "index", "r")
        return is_finished, self._index.exists()


class PublishesBeforeFinishing(FinishesBeforePublishing):
    """Enters an upload into the index, and marks it as finished then."""

    def finish(self) -> None:
        self.publish()
        self.mark()


class FindsByTheMark(FinishesBeforePublishing):
    """Marks and publishes by one and the same file, which is renamed into its place."""

    def finish(self) -> None:
        beside = self._status.with_suffix(".beside")
        beside.touch()
        point("rename", "status", "w")
        os.rename(beside, self._status)

    def look(self) -> tuple[bool, bool]:
        point("read status", "status", "r")
        is_finished = self._status.exists()
        return is_finished, is_finished


def an_upload_is_finished(s: Scenario, make: Make, folder: Path) -> None:
    """Somebody looks at an upload while it is finished."""
    upload = make(folder)
    upload.clear()

    def look() -> None:
        with s.history.record("reader", "look") as op:
            op.ok(upload.look())

    s.worker("uploader", upload.finish)
    s.worker("reader", look)
    s.check(finished_is_found)


def finished_is_found(history: History) -> None:
    """Who is told that it is finished finds it."""
    for operation in history.operations:
        assert operation.result != (True, False), "a finished upload was not found"


# Row 16: a file that is written in place


class WritesInPlace:
    """Writes a file where it lies, piece by piece."""

    pieces = 3

    def __init__(self, folder: Path) -> None:
        self.path = folder / "session.json"

    def clear(self) -> None:
        """The file holds what was written first, whole."""
        self.path.write_text("0" * self.pieces)

    def write(self, letter: str) -> None:
        """Replace the content."""
        with self.path.open("w") as file:
            for _ in range(self.pieces):
                point("write", "file", "w")
                file.write(letter)
                file.flush()

    def read(self) -> str:
        """Give the content."""
        point("read", "file", "r")
        return self.path.read_text()


class WritesBesideAndReplaces(WritesInPlace):
    """Writes a file beside, piece by piece, and puts it in its place when it is whole."""

    def write(self, letter: str) -> None:
        beside = self.path.with_suffix(".beside")
        with beside.open("w") as file:
            for _ in range(self.pieces):
                point("write", "file beside", "w")
                file.write(letter)
        point("replace", "file", "w")
        os.replace(beside, self.path)


class CreatesExclusivelyAndRenames(WritesInPlace):
    """Makes a file of its own by O_EXCL, writes it whole, and renames it."""

    def write(self, letter: str) -> None:
        own = self.path.with_suffix(f".{letter}")
        own.unlink(missing_ok=True)
        point("create", "own file", "w")
        with own.open("x") as file:
            file.write(letter * self.pieces)
            file.flush()
            os.fsync(file.fileno())
        point("rename", "file", "w")
        os.rename(own, self.path)


def a_write_and_a_read(s: Scenario, make: Make, folder: Path) -> None:
    """A file is read while it is written."""
    session = make(folder)
    session.clear()

    def read() -> None:
        with s.history.record("reader", "read") as op:
            op.ok(session.read())

    s.worker("writer", partial(session.write, "1"))
    s.worker("reader", read)
    s.check(files_are_whole)


def files_are_whole(history: History) -> None:
    """Who reads sees what was there before, or all of what is new."""
    for operation in history.operations:
        assert_whole(operation.result)


def assert_whole(content: str | None) -> None:
    """Raise `AssertionError` if this is neither all of the old nor all of the new."""
    assert content in (None, "0" * WritesInPlace.pieces, "1" * WritesInPlace.pieces), (
        f"half a file was read: {content!r}"
    )


# Row 17: a row without its directory


class TrustsItsRows:
    """Writes the row of a session and makes its directory then; a row that is there is trusted."""

    def __init__(self, folder: Path) -> None:
        self.rows, self.directories = folder / "rows", folder / "directories"

    def clear(self) -> None:
        """There are no sessions."""
        for folder in (self.rows, self.directories):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()

    def open(self, owner: str) -> Path:
        """Give the directory of the owner's session."""
        if not (self.rows / owner).exists():
            self.write_row(owner)
            self.make_directory(owner)
        return self.directories / owner

    def write_row(self, owner: str) -> None:
        """Store the session."""
        point("INSERT", "rows", "w")
        (self.rows / owner).touch()

    def make_directory(self, owner: str) -> None:
        """Make the place for its files."""
        point("mkdir", "directories", "w")
        (self.directories / owner).mkdir(exist_ok=True)

    def sweep(self) -> None:
        """Remove what belongs to nobody."""
        for directory in self.directories.iterdir():
            if not (self.rows / directory.name).exists():
                shutil.rmtree(directory)


class MakesGood(TrustsItsRows):
    """Writes the row first, and makes the directory whenever the session is opened, if it is not there."""

    def open(self, owner: str) -> Path:
        if not (self.rows / owner).exists():
            self.write_row(owner)
        self.make_directory(owner)
        return self.directories / owner


class MakesTheDirectoryFirst(TrustsItsRows):
    """Makes the directory before the row; a sweep removes directories without one."""

    def open(self, owner: str) -> Path:
        if not (self.rows / owner).exists():
            self.make_directory(owner)
            self.write_row(owner)
        return self.directories / owner


class SweepsNothing(TrustsItsRows):
    """Makes the directory before the row, and never looks for directories without one."""

    def open(self, owner: str) -> Path:
        if not (self.rows / owner).exists():
            self.make_directory(owner)
            self.write_row(owner)
        return self.directories / owner

    def sweep(self) -> None:
        """Remove nothing."""
