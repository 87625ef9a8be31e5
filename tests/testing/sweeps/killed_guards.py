"""What the processes do that are killed, stopped, forked or shown a jumping clock while they use a guard."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionGuard, SessionPolicy, open_store
from sessionguard.core.points import point
from sessionguard.errors import (
    QuotaExceededError,
    SessionEndedError,
    StoreTimeoutError,
    StoreUnavailableError,
    WorkspaceError,
)
from sessionguard.testing.history import recorded
from sessionguard.testing.sweeps import Run
from sessionguard.workspaces import Usage
from sessionguard.workspaces.local import keeping, leases

LEASE = timedelta(seconds=30)
IDLE = timedelta(hours=2)
OLD, NEW, NEXT = b"old" * 50_000, b"new" * 50_000, b"next" * 50_000
SMALL = 100
# For all three, and what an unfinished file claims ahead.
ROOM = 520_000


def url_of(run: Run, url: str) -> str:
    """Give the URL, with the folder of the run in it if it has a place for one."""
    return url.format(folder=run.folder)


@contextmanager
def guarded(run: Run, url: str) -> Iterator[SessionGuard]:
    """Give a guard that writes down what it asks, by the clock of the run, and waits for others only shortly."""
    store: Any = open_store(url_of(run, url))
    history = run.history()
    with SessionGuard(
        recorded(store, history, run.part),
        run.folder / "workspaces",
        SessionPolicy(idle_timeout=IDLE, workspace_bytes=ROOM, owner_bytes=ROOM + SMALL),
        clock=run.clock,
        sweep_interval=None,
        patience=timedelta(milliseconds=50),
    ) as guard:
        yield guard
    store.close()


def prepare(run: Run, url: str) -> None:
    """Ana has a session with something in it, and a file."""
    with guarded(run, url) as guard:
        session = guard.get_or_create(run.name, data={"kept": 1})
        with guard.workspace(session) as workspace:
            workspace.write("text", OLD)


# The store


def change(run: Run, url: str) -> None:
    """Save, open another one in its place, and end that."""
    with guarded(run, url) as guard:
        guard.save(guard.get_or_create(run.name), {"n": 1})
        guard.end(guard.replace(run.name, data={"n": 2}))


def save(run: Run, url: str) -> None:
    """Save once."""
    with guarded(run, url) as guard:
        guard.save(guard.get_or_create(run.name), {"n": 1})


def go_on(run: Run, url: str) -> None:
    """Open, save, and find what was saved; only one who was stopped in the middle of a write keeps others waiting."""
    assert run.operation is not None
    try:
        with guarded(run, url) as guard:
            session = guard.save(guard.get_or_create(run.name), {"survivor": True})
            found = guard.get(session.id)
    except (StoreTimeoutError, StoreUnavailableError):
        assert run.operation.how == "stopped"
        assert not url.startswith(("redis", "postgres"))
        return
    assert found is not None
    assert found.data["survivor"] is True
    assert found.data.get("n") != 1 or found.data["kept"] == 1


def all_is_well(run: Run, url: str) -> None:
    """The slot has one session at most, and the store finds no problem with itself."""
    with guarded(run, url) as guard:
        assert len(list(guard.sessions(owner=run.name))) <= 1
        assert guard.get_or_create(run.name).status == "active"
    store: Any = open_store(url_of(run, url))
    problems = [found for found in store.examine() if found.level == "problem"]
    store.close()
    assert problems == []


# Files


def stream_file(run: Run, url: str) -> None:
    """Replace the file piece by piece."""

    def pieces() -> Iterator[bytes]:
        for piece in (NEW[:75_000], NEW[75_000:]):
            point("piece", "text", "w")
            yield piece

    with guarded(run, url) as guard, guard.workspace(guard.get_or_create(run.name)) as workspace:
        workspace.write("text", pieces())


def read_whole_and_write(run: Run, url: str) -> None:
    """T54: the file is the old one or the new one, and can be replaced at once, also where its writer stands still."""
    assert run.operation is not None
    keeping._QUIET_SECONDS = 0.05
    with guarded(run, url) as guard, guard.workspace(guard.get_or_create(run.name)) as workspace:
        seen = workspace.read("text")
        assert seen == NEW if run.operation.how == "returned" else seen in (OLD, NEW), f"{len(seen)} bytes"
        workspace.write("text", NEXT)


def only_the_file_is_left(run: Run, url: str) -> None:
    """Session and owner may have all that the file leaves of their quotas, to the byte; ending removes all of it."""
    with guarded(run, url) as guard:
        session, other = guard.get_or_create(run.name), guard.create(run.name)
        with guard.workspace(session) as workspace:
            text = workspace.read("text")
            assert text in (NEW, NEXT)
            assert workspace.list() == ["text"]
            workspace.write("rest", b"r" * (ROOM - len(text)))
            refuses_a_byte(workspace, "session")
            assert workspace.usage() == Usage(ROOM, 2)
        with guard.workspace(other) as workspace:
            workspace.write("rest", b"r" * SMALL)
            refuses_a_byte(workspace, "owner")
        large = [path for path in files_below(run.folder / "workspaces") if path.stat().st_size >= len(OLD)]
        assert sorted(path.name for path in large) == ["rest", "text"]
        guard.end(session)
        guard.sweep()
        assert [path for path in files_below(run.folder / "workspaces") if session.id in str(path)] == []


def refuses_a_byte(workspace: Any, whose: str) -> None:
    """One byte more is refused by the quota of this one."""
    with pytest.raises(QuotaExceededError) as caught:
        workspace.write("more", b"1")
    assert caught.value.whose == whose


def files_below(folder: Path) -> list[Path]:
    """Give all files, however deep."""
    return [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]


# A lock with a lease


def save_under_a_lock(run: Run, url: str) -> int:
    """Save and write under a lock, and give its fence."""
    with guarded(run, url) as guard:
        session = guard.get_or_create(run.name)
        with guard.lock(session, "work", timeout=timedelta(seconds=1)) as lock:
            point("locked", "work", "w")
            with guard.workspace(session, lock=lock) as workspace:
                guard.save(session, {"last": run.part}, lock=lock)
                point("between", "work", "w")
                workspace.write("last", run.part)
            return lock.fence


def later(run: Run, url: str, work: Callable[[Run, str], int]) -> int:
    """Do `work`; 0 if somebody was stopped in the middle of a write to a disk of this host, where nobody gets on.

    What the system locks is kept by the stopped: whoever comes is told so in bounded time, and nothing is done.
    """
    keeping._QUIET_SECONDS = leases._PATIENCE_SECONDS = 0.05
    try:
        return work(run, url)
    except WorkspaceError:
        pass
    except (StoreTimeoutError, StoreUnavailableError):
        assert not url.startswith(("redis", "postgres"))
    assert run.operation is not None
    assert run.operation.how == "stopped"
    return 0


def save_later(run: Run, url: str) -> int:
    """Save under the lock as well, where anybody gets on."""
    return later(run, url, save_under_a_lock)


def highest_fence_is_last(run: Run, url: str) -> None:
    """T68: row and workspace are those of whoever came with the highest fence; who was woken overwrote nothing."""
    assert run.operation is not None
    assert run.survivor is not None
    fences = {"survivor": run.survivor.value, "operation": run.operation.value or 0}
    if not any(fences.values()):
        return
    last = max(fences, key=lambda name: fences[name])
    with guarded(run, url) as guard:
        session = guard.get_or_create(run.name)
        with guard.workspace(session) as workspace:
            told = session.data["last"], workspace.read("last").decode()
    assert told == (last, last), f"{told}, and the fences were {fences}"


# A fork, and a clock that jumps


def save_with_a_guard_open(run: Run, url: str) -> None:
    """Use a guard that was used before, so that all it needs is open, and show it to a forked child."""
    with guarded(run, url) as guard:
        session = guard.get_or_create(run.name)
        run.kept["guard"] = guard
        guard.save(session, {"n": 1})
        assert guard.get(session.id).data["n"] == 1  # type: ignore[union-attr]


def use_in_a_fork(run: Run) -> None:
    """Whatever the parent was doing, the child is served right, by connections of its own."""
    if "guard" in run.kept:
        guard: SessionGuard = run.kept["guard"]
        session = guard.get_or_create(run.name)
        assert session.owner == run.name
        assert session.data["kept"] == 1
        assert guard.create(f"child of {run.name}").is_new


def use_for_long(run: Run, url: str) -> str:
    """Load and save as a user does, and say which session it was in the end."""
    with guarded(run, url) as guard:
        session = guard.get_or_create(run.name)
        try:
            guard.save(session, {"n": 1})
        except SessionEndedError:
            return "ended"
        return "saved"


def one_session_whatever_the_clock(run: Run, url: str) -> None:
    """The slot has one active session, whose end is ahead by at most what the policy says."""
    with guarded(run, url) as guard:
        session = guard.get_or_create(run.name)
        assert session.status == "active"
        assert session.expires_at > run.clock()
        assert [found.id for found in guard.sessions(owner=run.name)] == [session.id]
