"""`guard.hold`: work that outlives a request keeps its session and its files, for as long as it lives itself."""

import asyncio
import contextlib
import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import (
    AsyncSessionGuard,
    InvalidArgumentError,
    MisuseError,
    SessionEndedError,
    SessionGuard,
)
from sessionguard.core import holding
from sessionguard.core.driving import run
from sessionguard.core.events import ChangeRefused, Event, LeaseLost, WorkspaceRemoved
from sessionguard.core.leases import FindLease
from sessionguard.errors import LeaseLostError, StoreUnavailableError
from sessionguard.stores.memory import MemoryStore
from tests.guard.clock import Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.watching import WatchedStore
from tests.locks.shared_place import SharedPlace, shared_place

LAPSE = timedelta(seconds=15)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where workspaces are."""
    return tmp_path / "work"


@pytest.fixture
def filing(open_guard: OpenGuard, work: Path) -> SessionGuard:
    """A guard with local workspaces."""
    return open_guard(workspaces=work)


@pytest.fixture
def heard(filing: SessionGuard) -> list[Event]:
    """What it tells."""
    events: list[Event] = []
    filing.subscribe(events.append)
    return events


@pytest.fixture
def successor(store: WatchedStore, clock: Clock, work: Path) -> Iterator[SessionGuard]:
    """A guard as in another process."""
    guard = SessionGuard(store.inner, work, POLICY, clock=clock, sweep_interval=None)
    yield guard
    guard.close()


def written(guard: SessionGuard) -> Any:
    """Give a session with a file."""
    session = guard.create("ana")
    with guard.workspace(session) as files:
        files.write("plan", b"first")
    return session


def leased(store: WatchedStore, session: Any, clock: Clock) -> int | None:
    """Ask until when it is held."""
    until: int | None = store.inner.leased_until(FindLease(session.id, clock()))
    return until


def test_a_held_session_keeps_its_files_after_its_end(filing: SessionGuard, heard: list[Event]) -> None:
    """Ended while it is held it is over at once; its files go as it is released, and both are told."""
    session = written(filing)
    with filing.hold(session) as hold:
        ended = filing.end(session)
        assert ended is not None
        assert ended.removed.deferred
        assert hold.is_held
        hold.check()
        assert filing.sweep().skipped_in_use == 1
    assert not hold.is_held
    assert filing.sweep().skipped_in_use == 0
    assert WorkspaceRemoved(session.id, 0, 0, is_deferred=True) in heard
    with pytest.raises(SessionEndedError), filing.hold(session):
        pass
    assert [event for event in heard if isinstance(event, LeaseLost)] == []


def test_who_holds_a_session_opens_its_files_after_its_end(
    filing: SessionGuard, open_guard: OpenGuard, clock: Clock
) -> None:
    """Given as the lock, a hold opens what it keeps, on a place of any kind; others are told that it is over."""
    for guard in (filing, open_guard(workspaces=shared_place())):
        session = written(guard)
        with guard.hold(session) as hold:
            guard.end(session)
            with pytest.raises(SessionEndedError), guard.workspace(session):
                pass
            for plan in (b"second", b"third"):
                with guard.workspace(session, lock=hold) as files:
                    files.write("plan", plan)
                    assert files.read("plan") == plan
        with pytest.raises(SessionEndedError), guard.workspace(session, lock=hold):
            pass
        assert guard.sweep().skipped_in_use == 0


def test_who_knew_a_visitor_holds_and_opens_nothing_after_its_login(
    filing: SessionGuard, open_guard: OpenGuard, store: WatchedStore
) -> None:
    """Not even by the hold that he has, on a place of any kind; who has logged in under it goes on."""
    for guard in (filing, open_guard(workspaces=shared_place())):
        visitor = guard.create()
        hold = guard.hold(visitor).acquire()
        with guard.workspace(visitor, lock=hold) as files:
            files.write("plan", b"first")
        member = guard.rotate(visitor, owner="ana")
        for opened in (guard.hold(visitor), guard.workspace(visitor), guard.workspace(visitor, lock=hold)):
            with pytest.raises(SessionEndedError) as caught, opened:
                pass
            assert caught.value.reason == "login"
        guard.save(member, {"n": 1}, lock=hold)
        store.forget()
        with guard.workspace(member, lock=hold) as files:
            assert files.read("plan") == b"first"
        # Of a session with an owner nothing more is asked than before.
        assert store.verbs() == []
        hold.release()
        with guard.hold(member), guard.workspace(member) as files:
            assert files.read("plan") == b"first"


def test_a_hold_from_before_a_login_extends_nothing(open_guard: OpenGuard, clock: Clock, store: WatchedStore) -> None:
    """It is kept, so that who logs in under it has not lost it, and is told why it does not extend the session."""
    guard = open_guard()
    visitor = guard.create()
    tenure = guard._parts.holding.tenure(visitor, 5.0)
    run(guard._parts.holding.begin(tenure), store.inner)
    member = guard.rotate(visitor, owner="ana")
    clock.advance(seconds=5)
    run(guard._parts.holding.keep(tenure), store.inner)
    assert (tenure.ended_reason, tenure.lost_reason) == ("login", None)
    found = guard.get(member.id)
    assert found is not None
    assert found.last_seen_at == member.last_seen_at
    run(guard._parts.holding.finish(tenure), store.inner)
    assert tenure.lost_reason is None


@pytest.mark.parametrize("what", ["hold", "workspace"])
@pytest.mark.parametrize("reason", ["login", "revoked"])
def test_a_hold_whose_reply_was_lost_is_not_given_after_a_login_or_an_end(
    open_guard: OpenGuard, store: WatchedStore, clock: Clock, what: str, reason: str
) -> None:
    """Asked again, the store says that it is held, and why the session is over: it is given back, and nothing stays."""
    place: Any = shared_place()
    guard, other = (
        open_guard(workspaces=place),
        SessionGuard(store.inner, place, POLICY, clock=clock, sweep_interval=None),
    )
    visitor = guard.create()
    with guard.workspace(visitor) as files:
        files.write("plan", b"first")
    lose_reply(
        store,
        "hold_lease",
        lambda: other.rotate(visitor, owner="ana") if reason == "login" else other.end(visitor),
    )
    with pytest.raises(SessionEndedError) as caught, getattr(guard, what)(visitor):
        pytest.fail("it was given")
    assert caught.value.reason == reason
    assert leased(store, visitor, clock) is None
    # What the end had to leave to the holder.
    assert (visitor.id in place.kept) == (reason == "login")
    other.close()


def test_files_of_a_shared_place_are_not_opened_by_who_held_before_a_login(
    open_guard: OpenGuard, store: WatchedStore, clock: Clock
) -> None:
    """The login comes after the hold and before the files are open: they are its owner's by then."""
    place: Any = shared_place()
    guard, other = (
        open_guard(workspaces=place),
        SessionGuard(store.inner, place, POLICY, clock=clock, sweep_interval=None),
    )
    visitor = guard.create()

    def then_login(command: Any, ask: Any) -> Any:
        reply = ask()
        if command.verb == "hold_lease":
            store.around = None
            with other.workspace(other.rotate(visitor, owner="ana")) as files:
                files.write("plan", b"of ana")
        return reply

    store.around = then_login
    with pytest.raises(SessionEndedError) as caught, guard.workspace(visitor):
        pytest.fail("the files of another were given")
    assert caught.value.reason == "login"
    assert leased(store, visitor, clock) is None
    other.close()


def lose_reply(store: WatchedStore, verb: str, change: Callable[[], object]) -> None:
    """Do what is asked once, then `change`, and lose the reply."""

    def around(command: Any, ask: Any) -> Any:
        reply = ask()
        if command.verb != verb:
            return reply
        store.around = None
        change()
        raise StoreUnavailableError("memory", verb, "the reply was lost", transient=True)

    store.around = around


def test_a_hold_that_lapses_as_its_files_are_opened_is_lost(
    filing: SessionGuard, successor: SessionGuard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it kept may be gone by then, and these files made anew."""
    session = written(filing)
    hold = filing.hold(session).acquire()
    target = getattr(hold, "_target", hold)
    held = iter([True, False])
    monkeypatch.setattr(type(target), "is_held", property(lambda _: next(held)))
    monkeypatch.setattr(target._tenure, "lost_reason", "it had lapsed")
    with pytest.raises(LeaseLostError), filing.workspace(session, lock=hold):
        pytest.fail("its files were given")


def test_a_hold_leaves_nothing_behind(filing: SessionGuard, store: WatchedStore, clock: Clock) -> None:
    """Taken and released many times, the session is free and may be used as before."""
    session = written(filing)
    fences = []
    for _ in range(40):
        with filing.hold(session) as hold:
            fences.append(hold.fence)
            assert leased(store, session, clock) is not None
        assert leased(store, session, clock) is None
    assert fences == sorted(set(fences))
    filing.end(session)
    assert filing.sweep().skipped_in_use == 0


def test_many_hold_at_once(filing: SessionGuard, successor: SessionGuard) -> None:
    """Two guards hold one session; both may save under their hold, and its files stay until both let go."""
    session = written(filing)
    with filing.hold(session) as one:
        with successor.hold(session) as two:
            assert two.fence > one.fence
            filing.save(session, {"a": 1}, lock=one)
            successor.save(session, {"b": 2}, lock=two)
            with filing.workspace(session, lock=one) as mine, successor.workspace(session, lock=two) as other:
                other.write("b", b"2")
                mine.write("a", b"1")
        ended = successor.end(session)
        assert ended is not None
        assert ended.removed.deferred
    assert successor.sweep().skipped_in_use == 0


def test_a_hold_is_taken_in_one_thread_and_released_in_another(clock: Clock, work: Path) -> None:
    """A request begins what a thread finishes, which may also end the session meanwhile."""
    with SessionGuard(MemoryStore(), work, POLICY, clock=clock, sweep_interval=None) as guard:
        session = written(guard)
        hold = guard.hold(session).acquire()
        failures: list[BaseException] = []

        def job() -> None:
            try:
                with guard.workspace(session) as files:
                    files.write("plan", b"second")
                guard.end(session)
                hold.check()
                hold.release()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=job)
        thread.start()
        thread.join()
        assert failures == []
        assert not hold.is_held
        assert guard.sweep().workspaces_removed == 0


def test_a_hold_is_taken_in_one_task_and_released_in_another(clock: Clock, work: Path) -> None:
    """A task that ends leaves it to another; cancelled as it releases, it has let go all the same."""

    async def play() -> None:
        async with AsyncSessionGuard(MemoryStore(), work, POLICY, clock=clock, sweep_interval=None) as guard:
            session = await guard.create("ana")
            hold = await asyncio.create_task(guard.hold(session).acquire())
            release = asyncio.create_task(hold.release())
            await asyncio.sleep(0)
            release.cancel()
            with pytest.raises(asyncio.CancelledError):
                await release
            await hold.release()
            assert not hold.is_held
            ended = await guard.end(session)
            assert ended is not None
            assert not ended.removed.deferred
            # What beats is gone as well.
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(play())


def test_a_cancelled_acquire_holds_nothing(clock: Clock, work: Path) -> None:
    """T70: wherever a task is cancelled while it takes a session, afterwards nobody holds it or its files."""

    async def play(steps: int) -> bool:
        store = WatchedStore(MemoryStore())
        async with AsyncSessionGuard(store, work, POLICY, clock=clock, sweep_interval=None) as guard:
            session = await guard.create("ana")
            task = asyncio.create_task(guard.hold(session).acquire())
            for _ in range(steps):
                await asyncio.sleep(0)
            is_cancelled = task.cancel()
            if is_cancelled:
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert leased(store, session, clock) is None
                ended = await guard.end(session)
                assert ended is not None
                assert not ended.removed.deferred
            else:
                await (await task).release()
            return is_cancelled

    struck = [asyncio.run(play(steps)) for steps in (0, 1, 2, 4, 8, 16)]
    assert any(struck)


def test_it_beats(
    open_guard: OpenGuard, store: WatchedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, work: Path
) -> None:
    """While it is held the lease is renewed again and again with its fence, and the session extended."""
    monkeypatch.setattr(holding, "BEAT_SECONDS", 0.01)
    guard = open_guard(workspaces=work)
    session = guard.create("ana")
    beaten = threading.Event()

    def around(command: Any, ask: Any) -> Any:
        reply = ask()
        if command.verb == "hold_lease" and sum(verb == "hold_lease" for verb in store.verbs()) > 3:
            beaten.set()
        return reply

    store.around = around
    with guard.hold(session) as hold:
        clock.advance(timedelta(seconds=10))
        wait_for(guard, beaten)
        hold.check()
    found = guard.get(session.id)
    assert found is not None
    assert found.last_seen_at == clock()


def test_a_lost_hold_beats_no_more(
    open_guard: OpenGuard, store: WatchedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own beat tells it that it is lost, which stays so, and asks the store no more; other holds beat on."""
    monkeypatch.setattr(holding, "BEAT_SECONDS", 0.01)
    guard = open_guard()
    session, lost = guard.create("ana"), threading.Event()
    guard.subscribe(lambda event: lost.set() if isinstance(event, LeaseLost) else None)
    hold = guard.hold(session).acquire()
    clock.advance(LAPSE)
    wait_for(guard, lost)
    with pytest.raises(LeaseLostError):
        hold.check()
    asked, thrice = Counter[str](), threading.Event()

    def around(command: Any, ask: Any) -> Any:
        if command.verb == "hold_lease":
            asked[command.session_id] += 1
            if max(asked.values()) > 3:
                thrice.set()
        return ask()

    store.around = around
    with guard.hold(guard.create("bea")) as other:
        wait_for(guard, thrice)
        assert asked[session.id] == 0
        other.check()
    with pytest.raises(LeaseLostError):
        hold.release()


def wait_for(guard: SessionGuard, event: threading.Event) -> None:
    """Wait for what beats; an async guard beats only while its loop runs."""
    for _ in range(500):
        guard.sweep(1)
        if event.wait(0.01):
            return
    raise AssertionError("nothing beats")


def beat(hold: Any) -> None:
    """Have it renewed now."""
    target = getattr(hold, "_target", hold)
    renewed = target._run_once(target._flows.keep(target._tenure))
    if asyncio.iscoroutine(renewed):
        hold._loop.run(renewed)


def test_it_keeps_the_session_up_to_its_absolute_timeout(
    filing: SessionGuard, store: WatchedStore, clock: Clock
) -> None:
    """By its beats it does not expire by idleness; past its absolute timeout it ends, and the files stay."""
    session = written(filing)
    hold = filing.hold(session).acquire()
    began = clock()
    while clock() - began < POLICY.absolute_timeout - timedelta(seconds=10):
        clock.advance(timedelta(seconds=10))
        beat(hold)
    assert filing.sweep().ended == 0
    clock.advance(timedelta(seconds=10))
    beat(hold)
    assert hold.ended_reason == "expired"
    swept = filing.sweep()
    assert (swept.ended, swept.skipped_in_use) == (1, 1)
    hold.check()
    hold.release()
    assert filing.sweep().skipped_in_use == 0


def test_a_lapsed_hold_is_lost(filing: SessionGuard, successor: SessionGuard, heard: list[Event], clock: Clock) -> None:
    """T68: stopped past its lease it hears so from its beat, and its writes are refused once another has come."""
    session = written(filing)
    hold = filing.hold(session).acquire()
    with filing.workspace(session, lock=hold) as files:
        files.write("plan", b"mine")
        clock.advance(LAPSE)
        with successor.hold(session) as newer, successor.workspace(session, lock=newer) as others:
            others.write("plan", b"theirs")
            with pytest.raises(LeaseLostError):
                files.write("plan", b"late")
            with pytest.raises(LeaseLostError):
                filing.save(session, {"late": 1}, lock=hold)
            successor.save(session, {"n": 1}, lock=newer)
            beat(hold)
            newer.check()
            assert not hold.is_held
            with pytest.raises(LeaseLostError):
                hold.check()
            assert others.read("plan") == b"theirs"
    with pytest.raises(LeaseLostError):
        hold.release()
    hold_losses = [event for event in heard if isinstance(event, LeaseLost)]
    assert [event.fence for event in hold_losses] == [hold.fence] * 2
    assert "renewed" in hold_losses[1].reason
    found = filing.get(session.id)
    assert found is not None
    assert dict(found.data) == {"n": 1}


def test_a_block_that_fails_says_why(filing: SessionGuard, clock: Clock) -> None:
    """An error in the block goes on as it is, also when the lease was lost meanwhile; without one that is told."""
    session = written(filing)
    with pytest.raises(ZeroDivisionError), filing.hold(session):  # noqa: PT012 - and so is leaving the block
        clock.advance(LAPSE)
        raise ZeroDivisionError
    with pytest.raises(LeaseLostError), filing.hold(session):
        clock.advance(LAPSE)


def test_a_hold_is_used_once(filing: SessionGuard) -> None:
    """Acquired twice is misuse; released twice or never acquired does nothing."""
    session = written(filing)
    hold = filing.hold(session)
    hold.release()
    with pytest.raises(MisuseError):
        hold.check()
    with pytest.raises(MisuseError):
        _ = hold.fence
    hold.acquire()
    with pytest.raises(MisuseError):
        hold.acquire()
    hold.release()
    hold.release()
    hold.check()


@pytest.mark.parametrize("session", [None, "an id", 7])
def test_what_is_no_session_is_refused(filing: SessionGuard, session: Any) -> None:
    """Before anything is asked."""
    with pytest.raises(InvalidArgumentError):
        filing.hold(session)


def test_an_ended_session_is_not_held(filing: SessionGuard, heard: list[Event], store: WatchedStore) -> None:
    """It raises, tells the refusal, and makes no directory that stays."""
    session = written(filing)
    filing.end(session)
    with pytest.raises(SessionEndedError) as caught:
        filing.hold(session).acquire()
    assert caught.value.reason == "revoked"
    assert [event.session_id for event in heard if isinstance(event, ChangeRefused)] == [session.id]
    assert filing.sweep().skipped_in_use == 0


def test_an_unanswered_acquire_holds_nothing(filing: SessionGuard, store: WatchedStore, clock: Clock) -> None:
    """The store did not answer, though it may have been done: it is given back."""
    session = written(filing)

    def around(command: Any, ask: Any) -> Any:
        reply = ask()
        if command.verb == "hold_lease":
            raise StoreUnavailableError("memory", "hold_lease", "the reply was lost")
        return reply

    store.around = around
    hold = filing.hold(session)
    with pytest.raises(StoreUnavailableError):
        hold.acquire()
    store.around = None
    assert leased(store, session, clock) is None
    # Under the name that was given back the store would refuse it.
    hold.acquire()
    assert leased(store, session, clock) is not None
    hold.release()
    ended = filing.end(session)
    assert ended is not None
    assert not ended.removed.deferred


def test_without_workspaces_the_session_is_held(open_guard: OpenGuard, store: WatchedStore, clock: Clock) -> None:
    """There are no files to keep, but the session does not expire."""
    guard = open_guard()
    session = guard.create("ana")
    with guard.hold(session) as hold:
        assert hold.is_held
        assert leased(store, session, clock) is not None


class Leaseless(WatchedStore):
    """A store without leases."""

    def __getattr__(self, name: str) -> Any:
        if "lease" in name:
            raise AttributeError(name)
        return super().__getattr__(name)


def test_a_store_without_leases_keeps_the_session_by_touches(clock: Clock, work: Path) -> None:
    """Files are leased on this machine, there is no fence, and the end of the session is heard of."""
    with SessionGuard(Leaseless(MemoryStore()), work, POLICY, clock=clock, sweep_interval=None) as guard:
        session = written(guard)
        with guard.hold(session) as hold:
            with pytest.raises(MisuseError, match="no leases"):
                _ = hold.fence
            clock.advance(POLICY.idle_timeout - timedelta(seconds=1))
            beat(hold)
            clock.advance(timedelta(seconds=2))
            assert guard.sweep().ended == 0
            ended = guard.end(session)
            assert ended is not None
            assert ended.removed.deferred
            with pytest.raises(SessionEndedError):
                beat(hold)
            assert hold.ended_reason == "revoked"
            hold.check()
        assert guard.sweep().skipped_in_use == 0


@pytest.mark.parametrize("jump", [-timedelta(hours=1), timedelta(minutes=5), timedelta(days=1)])
def test_a_clock_that_jumps_is_told_or_harmless(
    filing: SessionGuard, successor: SessionGuard, clock: Clock, jump: timedelta
) -> None:
    """T57: back, nothing changes for the holder; ahead, past its lease, it learns that it lost it; its files stay."""
    session = written(filing)
    hold = filing.hold(session).acquire()
    clock.advance(jump)
    successor.sweep()
    with filing.workspace(session) if jump < timedelta(hours=1) else contextlib.nullcontext():
        beat(hold)
    assert hold.is_held == (jump < timedelta(0))
    successor.end(session)
    # By the lease on this machine, whatever the clock says.
    assert successor.sweep().skipped_in_use == 1
    if hold.is_held:
        hold.release()
    else:
        with pytest.raises(LeaseLostError):
            hold.release()
    assert successor.sweep().skipped_in_use == 0


def test_a_released_hold_beats_no_more(clock: Clock) -> None:
    """Nothing of it is left with the guard."""
    with SessionGuard(MemoryStore(), policy=POLICY, clock=clock, sweep_interval=None) as guard:
        session = guard.create("ana")
        for _ in range(3):
            with guard.hold(session):
                assert len(guard._heart._beats) == 1
        assert guard._heart._beats == {}


def test_a_hold_beats_until_its_files_are_removed(filing: SessionGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    """That may take longer than a lease lasts."""
    session = written(filing)
    hold = filing.hold(session).acquire()
    target, seen = getattr(hold, "_target", hold), []
    let_go = target._let_go_of_files

    def watched() -> Any:
        seen.append((target._is_beating, hold.is_held))
        return let_go()

    monkeypatch.setattr(target, "_let_go_of_files", watched)
    hold.release()
    assert seen == [(True, True)]
    assert not hold.is_held


def test_a_hold_says_how_it_stands(filing: SessionGuard) -> None:
    """In logs and debuggers."""
    hold = filing.hold(written(filing))
    told = []
    for step in (lambda: None, hold.acquire, hold.release):
        step()
        told.append(repr(getattr(hold, "_target", hold)).rpartition(", ")[2])
    assert told == ["not held>", "held>", "released>"]


def test_an_acquire_that_is_interrupted_at_its_end_beats_no_more(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after the beat was added: the lease is given back, and nothing asks for it again."""
    store, added = WatchedStore(MemoryStore()), []

    def add(action: Any, period_seconds: float) -> int:
        added.append(action)
        raise KeyboardInterrupt

    with SessionGuard(store, policy=POLICY, clock=clock, sweep_interval=None) as guard:
        session = guard.create("ana")
        monkeypatch.setattr(guard._heart, "add", add)
        with pytest.raises(KeyboardInterrupt):
            guard.hold(session).acquire()
        (beat_once,) = added
        assert beat_once() is False
        assert store.verbs().count("hold_lease") == 1
        assert leased(store, session, clock) is None


# Places that machines share


@pytest.fixture
def place() -> SharedPlace:
    """A place that cannot tell who uses what."""
    place: SharedPlace = shared_place()
    return place


def test_files_of_a_shared_place_stay_while_they_are_open(
    open_guard: OpenGuard, place: Any, store: WatchedStore, clock: Clock
) -> None:
    """Another guard that ends the session leaves them; who has them open reads on, and they go as it closes them."""
    guard, other = open_guard(workspaces=place), open_guard(workspaces=place)
    session = guard.create("ana")
    with guard.workspace(session) as files:
        files.write("plan", b"first")
        assert leased(store, session, clock) is not None
        ended = other.end(session)
        assert ended is not None
        assert ended.removed.deferred
        assert other.sweep().skipped_in_use == 1
        assert files.read("plan") == b"first"
    assert session.id not in place.kept
    with pytest.raises(SessionEndedError), guard.workspace(session):
        pass
    assert session.id not in place.kept


def test_a_crashed_holder_of_a_shared_place_delays_its_removal_by_its_lease(
    open_guard: OpenGuard, place: Any, clock: Clock
) -> None:
    """Nobody gives back what it held; the next pass after the lease has lapsed removes the files."""
    guard, other = open_guard(workspaces=place), open_guard(workspaces=place)
    session = guard.create("ana")
    with guard.workspace(session) as files:
        files.write("plan", b"first")
    hold = guard.hold(session).acquire()
    crashed = getattr(hold, "_target", hold)
    crashed._is_released = True
    other.end(session)
    clock.advance(LAPSE - timedelta(microseconds=1))
    assert (other.sweep().skipped_in_use, list(place.kept)) == (1, [session.id])
    clock.advance(timedelta(microseconds=1))
    assert other.sweep().workspaces_removed == 1
    assert place.kept == {}


def test_a_shared_place_and_a_store_without_leases_is_warned_of(
    clock: Clock, place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It works, without the protection, and says so once."""
    with SessionGuard(Leaseless(MemoryStore()), place, POLICY, clock=clock, sweep_interval=None) as guard:
        session = guard.create("ana")
        with guard.workspace(session) as files:
            files.write("plan", b"first")
            ended = guard.end(session)
            assert ended is not None
            assert not ended.removed.deferred
    assert [record.getMessage() for record in caplog.records].count(
        "the store keeps no leases: files of a session that ends are removed while others use them"
    ) == 1


def test_a_guard_that_is_dropped_ends_its_beats(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed while a session is held, it renews nothing more; releasing is refused as any other call."""
    monkeypatch.setattr(holding, "BEAT_SECONDS", 0.01)
    store = WatchedStore(MemoryStore())
    guard = SessionGuard(store, policy=POLICY, clock=clock, sweep_interval=None)
    hold = guard.hold(guard.create("ana")).acquire()
    guard.close()
    count = store.verbs().count("hold_lease")
    with pytest.raises(MisuseError):
        hold.release()
    gc.collect()
    assert store.verbs().count("hold_lease") == count
