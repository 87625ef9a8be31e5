"""What goes wrong in a fork, and at a jump of the clock: broken pieces and their fixed twins."""

import os
import random
import threading
from datetime import timedelta

from sessionguard.core.points import point
from sessionguard.testing.sweeps import Run

TIMEOUT = timedelta(hours=1)


# Forks


def write_under_a_lock(run: Run) -> None:
    """Write while a lock of this process is held."""
    run.kept.setdefault("lock", threading.Lock())
    with run.kept["lock"]:
        point("write", "file", "w")
        (run.folder / "file").write_text("parent")


def write_under_a_lock_that_is_made_anew(run: Run) -> None:
    """Its fixed twin: a forked child has a lock of its own."""
    run.kept["lock"] = threading.Lock()
    os.register_at_fork(after_in_child=lambda: run.kept.update(lock=threading.Lock()))
    write_under_a_lock(run)


def write_in_the_child(run: Run) -> None:
    """Write in the child, under the same lock."""
    if "lock" in run.kept:
        with run.kept["lock"]:
            (run.folder / "file of the child").write_text("child")


def draw_an_id(run: Run) -> None:
    """Mutant 15: ids from luck that a forked child inherits, too."""
    luck = run.kept["luck"] = random.Random()
    point("draw", "luck", "w")
    (run.folder / f"{luck.getrandbits(64)}").touch(exist_ok=False)


def draw_in_the_child(run: Run) -> None:
    """Draw another id; it must not be taken."""
    if "luck" in run.kept:
        (run.folder / f"{run.kept['luck'].getrandbits(64)}").touch(exist_ok=False)


def draw_in_the_child_from_the_system(run: Run) -> None:
    """Its fixed twin."""
    (run.folder / os.urandom(8).hex()).touch(exist_ok=False)


def see_nothing(run: Run) -> None:
    """There is nothing to see."""


# Clocks


def begin(run: Run) -> None:
    """There is a session that ends at an instant."""
    (run.folder / "until").write_text(str(run.clock.us() + TIMEOUT // timedelta(microseconds=1)))


def load(run: Run) -> bool:
    """Tell whether it is alive: until that instant and not at it."""
    point("read", "until", "r")
    return run.clock.us() < int((run.folder / "until").read_text())


def load_generously(run: Run) -> bool:
    """Mutant 22: alive at that instant, too."""
    point("read", "until", "r")
    return run.clock.us() <= int((run.folder / "until").read_text())


def sweep_agrees(run: Run) -> None:
    """A sweep ends what has expired, and nobody was told just before that it is alive."""
    assert run.operation is not None
    is_swept = run.clock.us() >= int((run.folder / "until").read_text())
    was_told_before = run.operation.stop is not None and run.operation.stop.label == "end"
    assert not (is_swept and run.operation.value) or was_told_before, "it was told to be alive, and swept"
