"""Small writers and locks with points of their own, right ones and broken ones, for the sweeps over processes."""

import fcntl
import os
import time
from datetime import timedelta
from pathlib import Path

from sessionguard.core.points import point
from sessionguard.testing.history import Model, Operation
from sessionguard.testing.sweeps import Run

LEASE = timedelta(seconds=30)
OLD, NEW, NEXT = "old" * 10_000, "new" * 10_000, "next" * 10_000
HALF = len(NEW) // 2


class TakenError(Exception):
    """The lock is somebody else's."""


# A file with a text


def prepare_old(run: Run) -> None:
    """There is a file with the old text."""
    (run.folder / "text").write_text(OLD)


def write_in_place(run: Run) -> None:
    """Mutant 16: the file is empty, and then half of it is there."""
    point("open", "text", "w")
    with (run.folder / "text").open("w") as file:
        point("write", "text", "w")
        file.write(NEW[:HALF])
        file.flush()
        point("write", "text", "w")
        file.write(NEW[HALF:])


def write_beside(run: Run, text: str = NEW) -> None:
    """Its fixed twin: written beside, then renamed, under a name that the next writer takes over."""
    point("write", "beside", "w")
    (run.folder / "text.new").write_text(text)
    point("rename", "text", "w")
    os.replace(run.folder / "text.new", run.folder / "text")


def write_with_system_calls(run: Run) -> None:
    """The same with no point declared."""
    descriptor = os.open(run.folder / "text.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, NEW[:HALF].encode())
    os.write(descriptor, NEW[HALF:].encode())
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(run.folder / "text.new", run.folder / "text")


def write_without_points(run: Run) -> None:
    """Mutant 16 again, with no point declared."""
    with open(run.folder / "text", "w") as file:
        file.write(NEW)


def write_littering(run: Run) -> None:
    """Whole, but every writer has a name of its own beside, and nobody removes what the dead have left."""
    beside = run.folder / f"text.{os.getpid()}"
    point("write", "beside", "w")
    beside.write_text(NEW)
    point("rename", "text", "w")
    os.replace(beside, run.folder / "text")


def read_old_or_new(run: Run) -> str:
    """T54: whoever reads sees the old text or the new one; whoever writes next succeeds."""
    seen = (run.folder / "text").read_text()
    assert seen in (OLD, NEW), f"half a file: {len(seen)} characters"
    assert run.operation is not None
    if run.operation.how == "returned":
        assert seen == NEW
    return seen


def read_and_write_next(run: Run) -> str:
    """The same, and then the next text is written."""
    seen = read_old_or_new(run)
    write_beside(run, NEXT)
    return seen


def nothing_is_left_over(run: Run) -> None:
    """There is the file and nothing else."""
    assert os.listdir(run.folder) == ["text"]


# A lock


def prepare_counter(run: Run) -> None:
    """There is a counter."""
    (run.folder / "count").write_text("0")


def _count(run: Run) -> None:
    count = int((run.folder / "count").read_text())
    point("count", "count", "w")
    (run.folder / "count.new").write_text(str(count + 1))
    os.replace(run.folder / "count.new", run.folder / "count")


def count_under_a_mark(run: Run) -> None:
    """Mutant 18: the lock is a file that outlives its holder."""
    mark = run.folder / "lock"
    while True:
        try:
            mark.touch(exist_ok=False)
            break
        except FileExistsError:
            continue
    point("counting", "count", "r")
    _count(run)
    point("unlock", "lock", "rel")
    mark.unlink()


def count_under_a_lock(run: Run) -> None:
    """Its fixed twin: the system gives the lock back when its holder dies."""
    with (run.folder / "lock").open("w") as file:
        point("lock", "lock", "acq")
        fcntl.flock(file, fcntl.LOCK_EX)
        _count(run)


def count_under_a_lease(run: Run, *, is_fenced: bool = True) -> None:
    """The lock is a line with a fence and an end by the clock; the counter takes no lower fence than it has seen.

    Without the fence, whoever was stopped for longer than the lease overwrites what came after.
    """
    fence = _leased(run)
    point("read", "count", "r")
    count = int((run.folder / "count").read_text())
    point("write", "count", "w")
    with (run.folder / "door").open("a+") as door:
        # The resource itself does one thing at a time.
        fcntl.flock(door, fcntl.LOCK_EX)
        door.seek(0)
        seen = int(door.read() or 0)
        if is_fenced and fence < seen:
            raise TakenError
        door.truncate(0)
        door.write(str(fence))
        door.flush()
        _replace(run.folder / "count", str(count + 1))


def _leased(run: Run) -> int:
    with (run.folder / "lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        fence, until_us = map(int, (file.read() or "0 0").split())
        if run.clock.us() < until_us:
            raise TakenError
        file.truncate(0)
        until_us = run.clock.us() + LEASE // timedelta(microseconds=1)
        file.write(f"{fence + 1} {until_us}")
        return fence + 1


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


def count_is_what_was_told(run: Run) -> None:
    """Every count that was told to have been made is there, and at most one more."""
    assert run.operation is not None
    assert run.survivor is not None
    told = [run.operation.how, run.survivor.how].count("returned")
    count = int((run.folder / "count").read_text())
    assert told <= count <= told + (run.operation.how == "killed"), f"{told} were told, {count} are there"


# Rows and an index, each a file


def prepare_table(run: Run) -> None:
    """There are no rows, and nothing is in the index."""
    (run.folder / "rows").mkdir()
    (run.folder / "index").mkdir()


def open_session(run: Run) -> None:
    """Mutant 17: a row that is not in the index is found by nobody, and nobody may make another one."""
    point("index", "index", "r")
    if (run.folder / "index" / "ada").exists():
        return
    point("INSERT row", "rows", "w")
    (run.folder / "rows" / "ada").touch(exist_ok=False)
    point("INSERT index", "index", "w")
    (run.folder / "index" / "ada").touch()


def open_session_healing(run: Run) -> None:
    """Its fixed twin: whoever finds half a session completes it."""
    point("INSERT row", "rows", "w")
    (run.folder / "rows" / "ada").touch()
    point("INSERT index", "index", "w")
    (run.folder / "index" / "ada").touch()


def row_and_index_agree(run: Run) -> None:
    """What is in one is in the other."""
    assert os.listdir(run.folder / "rows") == os.listdir(run.folder / "index")


# A register whose calls are written down


class Register(Model[int]):
    """One number: written, and read as it was written last."""

    def initial(self) -> int:
        """Give what is there before anything was written."""
        return 0

    def step(self, state: int, operation: Operation) -> list[int]:
        """A write that nobody knows the end of may have happened; a read gives what is there."""
        if operation.name == "write":
            return [operation.args["number"]]
        return [state] if operation.outcome == "info" or operation.result == state else []


def write_number(run: Run, *, is_early: bool = False) -> None:
    """Write a number; as `is_early`, say so before it is there."""
    with run.history().record("writer", "write", number=1) as recording:
        point("write", "number", "w")
        if is_early:
            recording.ok()
            point("write late", "number", "w")
        (run.folder / "number").write_text("1")
        recording.ok()


def read_number(run: Run) -> None:
    """Read it, and write that down."""
    with run.history().record("reader", "read") as recording:
        path = run.folder / "number"
        recording.ok(int(path.read_text()) if path.exists() else 0)


def see_the_clock(run: Run) -> None:
    """The wall clock is the clock of the run."""
    point("look", "clock", "r")
    assert time.time() == run.clock.us() / 1e6
    assert time.time_ns() == run.clock.us() * 1000


def write_more_the_first_time(run: Run) -> None:
    """Come to three points more as long as no run did so before."""
    _write(4 if not (run.folder.parent / "seen").exists() else 1)
    (run.folder.parent / "seen").touch()


def write_less_later(run: Run, counter: Path) -> None:
    """Come to three points more in the first three runs, of which one is struck."""
    with counter.open("a") as file:
        file.write(".")
    _write(4 if counter.stat().st_size <= 3 else 1)


def _write(times: int) -> None:
    for number in range(times):
        point("write", number, "w")


def see_the_environment(run: Run, value: str | None) -> None:
    """Come to a point where this is in the environment."""
    assert os.environ.get("KILL_SWEEP_TEST") == value
    point("write", "nothing", "w")


def end_and_go_on(run: Run) -> None:
    """Come to a point that is called as the last stop is, and to one more."""
    point("end", "session", "w")
    point("write", "session", "w")


def see_nothing(run: Run) -> None:
    """Survive."""
