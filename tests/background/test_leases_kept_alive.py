"""A leased session is kept alive by its heartbeat: as long as the block lasts, up to the absolute timeout."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, Session, SessionGuard, SessionPolicy
from sessionguard.core.events import ChangeRefused, SessionTouched
from sessionguard.core.session import record_of
from sessionguard.parts import GuardParts
from sessionguard.stores.memory import MemoryStore
from tests.guard.clock import Clock

PATIENCE = 30.0
POLICY = SessionPolicy(idle_timeout=timedelta(minutes=20), absolute_timeout=timedelta(hours=1))


@pytest.fixture
def clock() -> Clock:
    """The time of the test."""
    return Clock()


@pytest.fixture
def fast_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hearts beat at once, whatever the policy says."""
    monkeypatch.setattr(GuardParts, "beat_seconds", lambda self, session: 0.001)


def on_touch(call: Callable[[], object]) -> Callable[[Any], object]:
    """Give a listener that calls `call` when a session is touched."""
    return lambda event: call() if isinstance(event, SessionTouched) else None


@pytest.mark.usefixtures("fast_beats")
def test_session_outlives_its_idle_timeout_while_leased(tmp_path: Path, clock: Clock) -> None:
    """Nobody asks for the session, yet it lives; past its absolute timeout it ends and the files stay to the end."""
    guard = SessionGuard(MemoryStore(), tmp_path, POLICY, clock=clock, sweep_interval=None)
    touched = threading.Event()
    session = guard.create("ada")
    with guard.workspace(session) as files:
        files.write("a", b"1")
        guard.subscribe(on_touch(touched.set))
        for _ in range(3):
            clock.advance(minutes=15)
            touched.clear()
            assert touched.wait(PATIENCE)
            touched.clear()
            assert touched.wait(PATIENCE)
            assert guard.sweep().ended == 0
        clock.advance(minutes=15)
        assert guard.sweep().ended == 1
        assert files.read("a") == b"1"
    assert not list(tmp_path.glob("*/??/*"))
    guard.close()


@pytest.mark.usefixtures("fast_beats")
def test_session_outlives_its_idle_timeout_while_leased_by_a_task(tmp_path: Path, clock: Clock) -> None:
    """The same for the async guard."""

    async def scene() -> None:
        async with AsyncSessionGuard(MemoryStore(), tmp_path, POLICY, clock=clock, sweep_interval=None) as guard:
            touched = asyncio.Event()
            session = await guard.create("ada")
            async with guard.workspace(session) as files:
                await files.write("a", b"1")
                guard.subscribe(on_touch(touched.set))
                for _ in range(3):
                    clock.advance(minutes=15)
                    for _ in range(2):
                        touched.clear()
                        await asyncio.wait_for(touched.wait(), PATIENCE)
                    assert (await guard.sweep()).ended == 0
                clock.advance(minutes=15)
                assert (await guard.sweep()).ended == 1

    asyncio.run(scene())
    assert not list(tmp_path.glob("*/??/*"))


@pytest.mark.usefixtures("fast_beats")
def test_beat_that_fails_is_tried_again(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong once, the next beat comes, in tasks as in threads."""

    class ShakyStore(MemoryStore):
        """Fails at every second touch."""

        count = 0

        def touch(self, command: Any) -> Any:
            """Fail, or not."""
            self.count += 1
            if self.count % 2 == 0:
                raise OSError("no route to the store")
            return super().touch(command)

    async def scene() -> None:
        async with AsyncSessionGuard(ShakyStore(), tmp_path, POLICY, clock=clock, sweep_interval=None) as guard:
            session = await guard.create("ada")
            touched = asyncio.Event()
            async with guard.workspace(session):
                guard.subscribe(on_touch(touched.set))
                for _ in range(2):
                    touched.clear()
                    await asyncio.wait_for(touched.wait(), PATIENCE)

    asyncio.run(scene())
    assert "keeping a session alive failed" in caplog.text


@pytest.mark.usefixtures("fast_beats")
def test_ended_session_is_not_kept_alive(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Ended while its files are in use, it is left alone from then on, without a line in the log."""
    guard = SessionGuard(MemoryStore(), tmp_path, POLICY, clock=clock, sweep_interval=None)
    refused = threading.Semaphore(0)
    guard.subscribe(lambda event: refused.release() if isinstance(event, ChangeRefused) else None)
    session = guard.create("ada")
    with caplog.at_level("WARNING"), guard.workspace(session):
        guard.end(session)
        assert refused.acquire(timeout=PATIENCE)
        assert not refused.acquire(timeout=0.05)
    guard.close()
    assert caplog.records == []


@pytest.mark.usefixtures("fast_beats")
def test_ended_session_is_not_kept_alive_by_a_task(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The same for the async guard."""

    async def scene() -> None:
        async with AsyncSessionGuard(MemoryStore(), tmp_path, POLICY, clock=clock, sweep_interval=None) as guard:
            session = await guard.create("ada")
            async with guard.workspace(session):
                (beating,) = asyncio.all_tasks() - {asyncio.current_task()}
                await guard.end(session)
                await asyncio.wait_for(beating, PATIENCE)

    with caplog.at_level("WARNING"):
        asyncio.run(scene())
    assert caplog.records == []


@pytest.mark.usefixtures("fast_beats")
def test_guard_closed_inside_the_block_stops_the_beats(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can keep anything alive any more, which is not told at every beat."""

    async def scene() -> None:
        guard = AsyncSessionGuard(MemoryStore(), tmp_path, POLICY, clock=clock, sweep_interval=None)
        session = await guard.create("ada")
        async with guard.workspace(session):
            (beating,) = asyncio.all_tasks() - {asyncio.current_task()}
            await guard.close()
            await asyncio.wait_for(beating, PATIENCE)

    guard = SessionGuard(MemoryStore(), tmp_path, POLICY, clock=clock, sweep_interval=None)
    with caplog.at_level("WARNING"):
        asyncio.run(scene())
        with guard.workspace(guard.create("ada")):
            thread = guard._heart._thread
            assert thread is not None
            guard.close()
            assert not thread.is_alive()
    assert caplog.records == []


def test_beats_come_often_enough(tmp_path: Path, clock: Clock) -> None:
    """Three to an idle timeout: that of the session itself, if the policy has become more generous since."""
    short = SessionPolicy(idle_timeout=timedelta(minutes=3))
    store = MemoryStore()
    session: Session = SessionGuard(store, policy=short, clock=clock, sweep_interval=None).create("ada")
    guard = SessionGuard(
        store, tmp_path, SessionPolicy(idle_timeout=timedelta(hours=3)), clock=clock, sweep_interval=None
    )
    assert guard._parts.beat_seconds(session) == 60
    assert guard._parts.beat_seconds(guard.create("ada")) == 3600


def test_beats_do_not_come_faster_near_the_end(tmp_path: Path, clock: Clock) -> None:
    """Close to the absolute timeout little time is left, which is no reason to hurry."""
    guard = SessionGuard(MemoryStore(), tmp_path, POLICY, clock=clock, sweep_interval=None)
    session = guard.create("ada")
    for _ in range(4):
        clock.advance(minutes=14, seconds=59)
        session = guard.touch(session)
    assert record_of(session).expires_us == record_of(session).absolute_us
    assert guard._parts.beat_seconds(session) == 400
