"""What the processes do that are killed and stopped in the middle of a pass of the clean-up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sessionguard import Session, SessionGuard, SessionPolicy
from sessionguard.core.fleet import GiveTurn, TakeTurn
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.turns import RUN, RUN_SECONDS
from sessionguard.errors import StoreTimeoutError, StoreUnavailableError
from sessionguard.testing.sweeps import Other, Run
from tests.testing.sweeps.guarded import canary
from tests.testing.sweeps.killed_guards import url_of

LATER = timedelta(hours=1)
TURN = timedelta(seconds=RUN_SECONDS)
POLICIES = {
    "short": SessionPolicy(idle_timeout=timedelta(minutes=1), touch_interval=timedelta(0)),
    "default": SessionPolicy(idle_timeout=timedelta(days=1)),
}


@contextmanager
def cleaning(run: Run, url: str, clock: Callable[[], datetime]) -> Iterator[SessionGuard]:
    """Give a guard that writes down whom its hook was told of."""
    with SessionGuard.open(
        url_of(run, url),
        run.folder / "workspaces",
        POLICIES,
        clock=clock,
        sweep_interval=None,
        patience=timedelta(milliseconds=50),
    ) as guard:

        def tell(session: Session) -> None:
            with (run.folder / "told").open("a") as file:
                file.write(f"{session.id}\n")

        guard.on_end(tell)
        yield guard


def later(run: Run) -> Callable[[], datetime]:
    """Give a clock that shows when those of the short scope have expired."""
    return lambda: run.clock() + LATER


def prepare(run: Run, url: str, due: int) -> None:
    """Some will have expired by then, with a file each, and two live on."""
    with cleaning(run, url, run.clock) as guard:
        for owner, scope in [*((f"due {n}", "short") for n in range(due)), ("held", "default"), ("alive", "default")]:
            filed(guard, f"{run.name} {owner}", scope)


def clean_up(run: Run, url: str) -> int:
    """Sweep in turn."""
    with cleaning(run, url, later(run)) as guard:
        return guard.sweep(in_turn=True).ended


def clean_up_in_use(run: Run, url: str) -> int:
    """End a session whose files are in use, sweep in turn, and let go of the files."""
    with cleaning(run, url, later(run)) as guard:
        held = guard.get_or_create(f"{run.name} held")
        with guard.workspace(held):
            guard.end(held)
            return guard.sweep(in_turn=True).ended


def next_pass(run: Run, url: str) -> bool:
    """Sweep in turn, which has lapsed; False if someone is stopped in the middle of a write to a disk of this host."""
    assert run.operation is not None
    try:
        with cleaning(run, url, later(run)) as guard:
            assert not guard.sweep(in_turn=True).yielded
    except (StoreTimeoutError, StoreUnavailableError):
        assert run.operation.how == "stopped"
        assert not url.startswith(("redis", "postgres"))
        return False
    if run.operation.how == "killed":
        require_healed(run, url)
    return True


def all_is_clean(run: Run, url: str) -> None:
    """After one more pass nothing is left of what had ended, all of what lives is there, and the turn is free."""
    assert run.operation is not None
    if run.operation.how == "killed":
        # Found by the survivor.
        return
    with cleaning(run, url, later(run)) as guard:
        guard.sweep()
    require_healed(run, url)


def require_healed(run: Run, url: str) -> None:
    """Only the living have files, they all do, nobody was told twice, and the turn is to be had."""
    with cleaning(run, url, later(run)) as guard:
        sessions = [session for session in guard.sessions(status=None) if session.owner.startswith(f"{run.name} ")]
        ended = {session.id for session in sessions if session.status == "ended"}
        alive = guard.get_or_create(f"{run.name} alive")
        assert not alive.is_new
        with guard.workspace(alive) as files:
            assert files.read("text") == alive.owner.encode()
        left = directories(run.folder / "workspaces")
        assert left.isdisjoint(ended), f"left behind: {left & ended}"
        assert alive.id in left
        assert {session.owner.split(" ", 1)[1] for session in sessions if session.id not in ended} <= {"alive", "held"}
        require_told(run, ended)
        require_free_turn(run, guard)


def require_told(run: Run, ended: set[str]) -> None:
    """Nobody who lives was told to have ended, and nobody twice; all were whom no killed process had ended."""
    path = run.folder / "told"
    told = path.read_text().split() if path.exists() else []
    assert len(told) == len(set(told)), f"told twice: {told}"
    assert set(told) <= ended, f"told of the living: {set(told) - ended}"
    assert run.operation is not None
    if run.operation.how == "returned" or (run.operation.stop is not None and run.operation.stop.is_end):
        assert set(told) == ended, f"not told: {ended - set(told)}"


def require_free_turn(run: Run, guard: SessionGuard) -> None:
    """Whoever comes next need not wait for it."""
    store: Any = guard._store
    at = later(run)()
    assert store.take_turn(TakeTurn(RUN, f"next after {run.name}", at, 1_000_000)) is Outcome.DONE
    assert store.give_turn(GiveTurn(RUN, f"next after {run.name}", at)) is Outcome.DONE


def directories(work: Path) -> set[str]:
    """Give the ids of all sessions of which anything is there: files, trash, or a mark."""
    names = {path.name for path in work.glob("*/[0-9a-f][0-9a-f]/*")}
    return names | {path.name[:34] for folder in (".trash", ".pending") for path in work.glob(f"*/{folder}/*")}


# In one process


def filed(guard: SessionGuard, owner: str, scope: str) -> Session:
    """Give a session with a file."""
    session = guard.get_or_create(owner, scope=scope)
    with guard.workspace(session) as files:
        files.write("text", owner)
    return session


def other(guard: SessionGuard, name: str) -> Other:
    """Give somebody whom the same guard has to serve all the while."""
    token = str(guard.get_or_create(name, data={"canary": name}).token)
    return Other(name, lambda: canary(guard.load(token)), (name, name))
