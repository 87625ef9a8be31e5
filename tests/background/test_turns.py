"""One runner of a fleet sweeps: passes in the background take turns, and two that run all the same harm nobody."""

import asyncio
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, SessionGuard, SweepReport
from sessionguard.async_guard import _background_pass as async_background_pass
from sessionguard.core.commands import Command
from sessionguard.core.events import CleanupFailed, Event
from sessionguard.core.file_commands import FindGarbage
from sessionguard.core.fleet import GiveTurn, TakeTurn
from sessionguard.core.turns import LEAD, RUN, RUN_SECONDS
from sessionguard.errors import StoreDataError
from sessionguard.guard import _background_pass
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import in_children
from tests.guard.clock import Clock
from tests.guard.watching import WatchedStore

IDLE = timedelta(hours=2)
Open = Callable[..., SessionGuard]


@pytest.fixture
def open_guard(store: WatchedStore, clock: Clock, tmp_path: Path) -> Iterator[Open]:
    """Opens guards of one fleet, each as another process would."""
    opened = []

    def open_guard(**options: Any) -> SessionGuard:
        guard = SessionGuard(store, tmp_path / "work", clock=clock, sweep_interval=None, **options)
        opened.append(guard)
        return guard

    yield open_guard
    for guard in opened:
        guard.close()


def background_pass(guard: SessionGuard) -> None:
    """Do what the thread of the guard does at each interval."""
    assert _background_pass(weakref.ref(guard))()


def expired(guard: SessionGuard, clock: Clock, count: int = 1) -> None:
    """Open so many sessions and let their time pass."""
    for _ in range(count):
        guard.create("ada")
    clock.advance(IDLE)


def active_count(guard: SessionGuard) -> int:
    """Count the sessions that nobody has ended."""
    return guard.sweep(dry_run=True).ended


def test_one_process_sweeps_for_all(open_guard: Open, clock: Clock) -> None:
    """Who comes first goes on, others find nothing to do, and closing it lets another take over at once."""
    first, second = open_guard(), open_guard()
    for _ in range(3):
        for guard in (first, second):
            background_pass(guard)
            assert turns(guard)[LEAD][0] == first._parts.sweeps._turns._runner
        clock.advance(seconds=60)
    second.create("ada")
    second.create("bob")
    first.close()
    clock.advance(IDLE)
    background_pass(second)
    assert active_count(second) == 0


def turns(guard: SessionGuard) -> dict[str, tuple[str, int, int]]:
    """Give who has which turn."""
    store: Any = guard._store
    found: dict[str, tuple[str, int, int]] = store.inner._turns._turns
    return found


def test_one_that_was_killed_is_followed_after_its_lease(open_guard: Open, clock: Clock) -> None:
    """Two passes and a half later, another sweeps."""
    killed, other = open_guard(), open_guard()
    background_pass(killed)
    other.create("ada")
    clock.advance(IDLE)
    killed.create("bob")
    background_pass(killed)
    other.create("cy")
    clock.advance(seconds=149)
    background_pass(other)
    assert turns(other)[LEAD][0] == killed._parts.sweeps._turns._runner
    clock.advance(seconds=1)
    background_pass(other)
    assert turns(other)[LEAD][0] == other._parts.sweeps._turns._runner


def test_a_command_waits_for_no_leader(open_guard: Open, clock: Clock) -> None:
    """`sessionguard sweep` and cron sweep as well, unless somebody is sweeping at this moment."""
    leader, command = open_guard(), open_guard()
    background_pass(leader)
    expired(leader, clock)
    clock.advance(seconds=-1)
    background_pass(leader)
    assert RUN not in turns(leader)
    clock.advance(seconds=1)
    assert command.sweep(in_turn=True) == SweepReport(ended=1)
    leader._store.take_turn(TakeTurn(RUN, "somebody", clock.now, 1_000_000))  # type: ignore[attr-defined]
    expired(leader, clock)
    leader._store.take_turn(TakeTurn(RUN, "somebody", clock.now, 1_000_000))  # type: ignore[attr-defined]
    assert command.sweep(in_turn=True) == SweepReport(yielded=True)
    assert command.sweep() == SweepReport(ended=1)


def test_a_pass_that_fails_gives_its_turn_back(open_guard: Open, store: WatchedStore, clock: Clock) -> None:
    """Others need not wait for it to lapse, and what had been done before stays done."""
    failing, other = open_guard(brake=None), open_guard(brake=None)
    expired(failing, clock, 250)

    def fail_second(command: Command[Any], ask: Callable[[], Any]) -> Any:
        if command.verb == "sweep" and store.verbs().count("sweep") == 2:
            raise StoreDataError("memory", "sweep", "a row is damaged")
        return ask()

    store.forget()
    store.around = fail_second
    with pytest.raises(StoreDataError):
        failing.sweep(in_turn=True)
    store.around = None
    assert RUN not in turns(other)
    assert other.sweep(in_turn=True) == SweepReport(ended=50)


def test_a_turn_that_cannot_be_given_back_lapses(
    open_guard: Open, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the pass did is reported all the same, and the failure is told."""
    guard, other = open_guard(), open_guard()
    told: list[Event] = []
    guard.subscribe(told.append)
    expired(guard, clock)

    def fail(command: GiveTurn, store: Any) -> Any:
        raise StoreDataError("memory", "give_turn", "a row is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(GiveTurn, "apply", fail)
        assert guard.sweep(in_turn=True) == SweepReport(ended=1)
    assert [event.session_id for event in told if isinstance(event, CleanupFailed)][:1] == [None]
    expired(other, clock)
    assert other.sweep(in_turn=True) == SweepReport(ended=1)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[FindGarbage]:
    """How often anybody has looked for garbage."""
    asked: list[FindGarbage] = []
    apply = FindGarbage.apply

    def noted(command: FindGarbage, files: Any) -> Any:
        asked.append(command)
        return apply(command, files)

    monkeypatch.setattr(FindGarbage, "apply", noted)
    return asked


def test_a_long_pass_looks_for_garbage_once(open_guard: Open, clock: Clock, looked: list[FindGarbage]) -> None:
    """However many parts it has: to look through directories takes longer than to end sessions."""
    guard = open_guard(brake=None)
    expired(guard, clock, 2_100)
    for passes in (1, 2):
        background_pass(guard)
        assert len(looked) == passes
    assert active_count(guard) == 0


def test_a_runner_that_stood_still_past_its_turn_stops(open_guard: Open, store: WatchedStore, clock: Clock) -> None:
    """T64: it ends no session twice and none that lives, reports what it did, and leaves the rest to the next."""
    slow, other = open_guard(brake=None), open_guard(brake=None)
    expired(slow, clock, 450)
    ended: list[str] = []
    for guard in (slow, other):
        guard.on_end(lambda session: ended.append(session.id))
    reports: list[SweepReport] = []

    def stand_still(command: Any, ask: Callable[[], Any]) -> Any:
        reply = ask()
        if command.verb == "sweep" and not reports:
            store.around = None
            # The first batch has ended, and nobody heard of this runner for longer than its lease.
            clock.advance(timedelta(seconds=RUN_SECONDS))
            reports.append(other.sweep(in_turn=True))
            other._store.take_turn(TakeTurn(RUN, "a third", clock.now, 1_000_000))  # type: ignore[attr-defined]
        return reply

    store.around = stand_still
    living = slow.create("bob")
    resumed = slow.sweep(in_turn=True)
    assert resumed == SweepReport(ended=200, has_more=True, yielded=True)
    assert reports == [SweepReport(ended=250)]
    assert len(ended) == len(set(ended)) == 450
    assert slow.load(living.token) is not None
    assert turns(slow)[RUN][0] == "a third"


def test_a_session_that_is_revived_before_it_is_ended_lives(
    open_guard: Open, store: WatchedStore, clock: Clock
) -> None:
    """T64: what was due when it was looked at, and was touched since, keeps its record, data and files."""
    guard = open_guard()
    session = guard.create("ada", data={"n": 1})
    with guard.workspace(session) as files:
        files.write("a.bin", b"x")
    clock.advance(IDLE)
    late = clock.now

    def revive(command: Any, ask: Callable[[], Any]) -> Any:
        if command.verb == "sweep":
            store.around = None
            clock.now = late - timedelta(seconds=1)
            guard.touch(session)
            clock.now = late
        return ask()

    store.around = revive
    assert guard.sweep(dry_run=True).ended == 1
    assert guard.sweep() == SweepReport()
    found = guard.load(session.token)
    assert found is not None
    assert found.data == {"n": 1}
    with guard.workspace(session) as files:
        assert files.read("a.bin") == b"x"


def test_a_braked_pass_forgets_no_history(open_guard: Open, clock: Clock) -> None:
    """The clock that makes all sessions due makes all history old, too."""
    guard = open_guard()
    ended = guard.create("ada")
    guard.end(ended)
    for _ in range(100):
        guard.create("ada")
    clock.advance(days=3650)
    background_pass(guard)
    assert guard.get(ended.id) is not None
    assert guard.sweep(force=True).ended == 100
    background_pass(guard)
    assert guard.get(ended.id) is None


def test_a_pass_asks_the_brake_again_after_what_it_had_counted(
    open_guard: Open, store: WatchedStore, clock: Clock
) -> None:
    """A clock that jumps in the middle of a long pass is met by the brake, too."""
    guard = open_guard()
    for _ in range(1_100):
        guard.create("ada")
    early = clock.now
    clock.advance(IDLE / 2)
    for _ in range(5_000):
        guard.create("bob")
    clock.now = early + IDLE
    swept = 0

    def jump(command: Any, ask: Callable[[], Any]) -> Any:
        nonlocal swept
        reply = ask()
        if command.verb == "sweep":
            swept += len(reply.records)
            if swept == 800:
                clock.advance(IDLE)
        return reply

    store.around = jump
    background_pass(guard)
    assert swept == 1_100
    clock.now = early + IDLE
    background_pass(guard)
    assert swept == 1_100


def test_async_guards_take_turns_and_give_them_back(store: WatchedStore, clock: Clock) -> None:
    """The same for tasks."""

    async def scene() -> None:
        first = AsyncSessionGuard(store, clock=clock, sweep_interval=None)
        second = AsyncSessionGuard(store, clock=clock, sweep_interval=None)
        for guard in (first, second):
            await guard.create("ada")
            assert await async_background_pass(weakref.ref(guard))()
        assert store.inner._turns._turns[LEAD][0] == first._parts.sweeps._turns._runner
        await second.close()
        assert LEAD in store.inner._turns._turns
        await first.close()
        assert len(store.inner._turns) == 0

    asyncio.run(scene())


@pytest.mark.processes
def test_a_forked_child_does_not_go_on_with_the_turn_of_its_parent(tmp_path: Path) -> None:
    """It asks for its own, and closing it gives up nothing of the parent's."""
    guard = SessionGuard(SQLiteStore(tmp_path / "sessions.db"), sweep_interval=None)
    background_pass(guard)
    runner = guard._parts.sweeps._turns._runner

    def use(number: int) -> None:
        if number:
            guard.create("ada")
            background_pass(guard)
            assert LEAD not in guard._parts.sweeps._turns._had
        guard.close()

    in_children(2, use)
    store: Any = guard._store
    assert store.take_turn(TakeTurn(LEAD, "other", None, 1)).value == "conflict"
    assert store.give_turn(GiveTurn(LEAD, runner, None)).value == "done"
    guard.close()
    store.close()
