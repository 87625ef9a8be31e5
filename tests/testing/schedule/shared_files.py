"""What processes race for in tests: files in one folder, and rows in one SQLite database."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from attrs import evolve

from sessionguard.core.points import point
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.schedule.participant import Participant


def open_session(me: Participant, folder: Path, is_fixed: bool) -> None:
    """Open the session of alice: look whether its file is there, else make it."""
    path = folder / "alice"
    with me.history.record(me.name, "get_or_create", key="alice") as op:
        point("look", "alice", "r")
        if path.exists() and not is_fixed:
            op.ok(path.read_text())
            return
        point("make", "alice", "w")
        if is_fixed:
            try:
                with path.open("x") as file:
                    file.write(me.name)
            except FileExistsError:
                pass
        else:
            path.write_text(me.name)
        op.ok(path.read_text())


def work_hard(me: Participant, seconds: float) -> None:
    """Use a processor for so long between two points."""
    point("begin", "alice", "w")
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    point("end", "alice", "w")


def wait_for_a_file(me: Participant, path: Path) -> None:
    """Wait, where nobody sees it, until a pipe has a writer."""
    point("begin", "alice", "w")
    path.read_bytes()


def write_a_file(me: Participant, path: Path) -> None:
    """Be that writer."""
    point("write", "alice", "w")
    path.write_bytes(b"x")


def insert(me: Participant, database: Path, has_constraint: bool) -> None:
    """Insert a row for alice if there is none; two processes, one database."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        point("SELECT", "rows", "r")
        if connection.execute("SELECT 1 FROM sessions WHERE owner = 'alice'").fetchone() is None:
            point("INSERT", "rows", "w")
            verb = "INSERT OR IGNORE" if has_constraint else "INSERT"
            connection.execute(f"{verb} INTO sessions (owner, id) VALUES ('alice', ?)", (me.name,))


def prepare(database: Path, has_constraint: bool) -> None:
    """Make the table empty."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DROP TABLE IF EXISTS sessions")
        unique = "UNIQUE" if has_constraint else ""
        connection.execute(f"CREATE TABLE sessions (owner TEXT {unique}, id TEXT)")


def write_in_two(me: Participant, folder: Path) -> None:
    """Write a file in two halves."""
    with me.history.record(me.name, "write"):
        for half in ("first", "second"):
            point(f"{half} half", "file", "w")
            with (folder / "file").open("a") as file:
                file.write(half)


def tell_time(me: Participant) -> None:
    """Read the clock twice."""
    with me.history.record(me.name, "time") as op:
        op.ok((me.clock.us(), me.clock.us()))


def fail(me: Participant) -> None:
    """Raise."""
    point("before", "x", "w")
    raise KeyError("alice")


def die(me: Participant) -> None:
    """End the process without a word."""
    point("before", "x", "w")
    os._exit(3)


def tell_ids(me: Participant) -> None:
    """Draw an id."""
    with me.history.record(me.name, "id") as op:
        op.ok(str(me.uuid()))


def save_twice(me: Participant, database: Path, session_id: str) -> None:
    """Save a field of a session twice, with the store's own points."""
    store, stage = SQLiteStore(database), Stage("0" * 32)
    try:
        for turn in (1, 2):
            with me.history.record(me.name, "save") as op:
                command = evolve(stage.save(stage.new()), session_id=session_id, changes={me.name: str(turn)})
                op.ok(store.save(command).outcome.value)
    finally:
        store.close()
