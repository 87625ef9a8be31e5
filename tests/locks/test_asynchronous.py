"""The lock of tasks: cancelled while waiting, holding or releasing, it is given back, and the cancellation goes on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, LockTimeoutError, MisuseError, Session
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.errors import LockLostError
from sessionguard.locks import asynchronous
from sessionguard.stores.memory import MemoryStore
from tests.guard.clock import Clock
from tests.guard.watching import WatchedStore

AT_ONCE = timedelta(0)
PATIENCE = 30.0
LONG = timedelta(seconds=PATIENCE)


class Stage:
    """A guard over a store that can be held up, with a clock that stands, so that no lease lapses by itself."""

    def __init__(self, guard: AsyncSessionGuard, store: WatchedStore, session: Session, clock: Clock) -> None:
        self.guard = guard
        self.session = session
        self.clock = clock
        self.store = store
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def hold_up(self, verb: str, *, after: bool = False) -> None:
        """Let every `verb` wait in its thread, before or after it was done, until `go_on`."""

        def around(command: Any, ask: Any) -> Any:
            reply = ask() if after else None
            if command.verb == verb:
                self.reached.set()
                assert self.go_on.wait(PATIENCE)
            return reply if after else ask()

        self.store.around = around

    async def arrival(self) -> None:
        """Wait until a call is held up."""
        await asyncio.to_thread(self.reached.wait, PATIENCE)

    async def is_free(self) -> bool:
        """Tell whether the lock can be taken at once."""
        try:
            async with self.guard.lock(self.session, "a", timeout=AT_ONCE):
                return True
        except LockTimeoutError:
            return False

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is true."""
        for _ in range(10_000):
            if condition():
                return
            await asyncio.sleep(0.001)
        raise TimeoutError

    async def becomes_free(self) -> bool:
        """Tell whether the lock can be taken before long."""
        for _ in range(10_000):
            if await self.is_free():
                return True
            await asyncio.sleep(0.001)
        return False

    async def hold(self) -> None:
        """Hold the lock until cancelled."""
        async with self.guard.lock(self.session, "a", timeout=LONG):
            await asyncio.Event().wait()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Give a stage."""
    clock, store = Clock(), WatchedStore(MemoryStore())
    async with AsyncSessionGuard(store, clock=clock, sweep_interval=None) as guard:
        yield Stage(guard, store, await guard.create("ada"), clock)


async def cancelled(task: "asyncio.Task[Any]") -> bool:
    """Tell whether `task` ends as cancelled, not as done."""
    await asyncio.wait([task], timeout=PATIENCE)
    return task.cancelled()


def test_t70_cancelled_while_waiting() -> None:
    """It waits no longer, and has taken nothing."""

    async def scene() -> None:
        async with stage() as on:
            async with on.guard.lock(on.session, "a"):
                waiting = asyncio.create_task(on.hold())
                await asyncio.sleep(0.01)
                waiting.cancel()
                assert await cancelled(waiting)
            assert await on.is_free()

    asyncio.run(scene())


@pytest.mark.parametrize("after", [False, True])
def test_t70_cancelled_while_taking(after: bool) -> None:
    """Whether the store had taken the lock already or not, it is free when the cancellation has gone on."""

    async def scene() -> None:
        async with stage() as on:
            on.hold_up("acquire_lock", after=after)
            taking = asyncio.create_task(on.hold())
            await on.arrival()
            taking.cancel()
            on.go_on.set()
            assert await cancelled(taking)
            assert await on.is_free()

    asyncio.run(scene())


def test_t70_cancelled_while_holding() -> None:
    """The block ends, the lock is free."""

    async def scene() -> None:
        async with stage() as on:
            holding = asyncio.create_task(on.hold())
            await on.until(lambda: "acquire_lock" in on.store.verbs())
            holding.cancel()
            assert await cancelled(holding)
            assert await on.is_free()

    asyncio.run(scene())


def test_t70_cancelled_while_releasing() -> None:
    """The release is done all the same, and the task ends as cancelled."""

    async def scene() -> None:
        async with stage() as on:
            on.hold_up("release_lock")
            begun = asyncio.Event()

            async def hold_shortly() -> None:
                async with on.guard.lock(on.session, "a"):
                    begun.set()

            releasing = asyncio.create_task(hold_shortly())
            await begun.wait()
            await on.arrival()
            releasing.cancel()
            on.go_on.set()
            assert await cancelled(releasing)
            assert await on.becomes_free()

    asyncio.run(scene())


def test_t70_cancelled_while_the_last_beat_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving waits for a beat that is under way; a cancellation meanwhile is not mistaken for the beat's own."""
    monkeypatch.setattr(asynchronous, "BEAT_SECONDS", 0)

    async def scene() -> None:
        async with stage() as on:
            on.hold_up("renew_lock")

            async def hold_shortly() -> str:
                async with on.guard.lock(on.session, "a"):
                    await on.arrival()
                return "not cancelled"

            leaving = asyncio.create_task(hold_shortly())
            await on.arrival()
            for _ in range(20):
                await asyncio.sleep(0)
            leaving.cancel()
            on.go_on.set()
            assert await cancelled(leaving)
            on.store.around = None
            assert await on.becomes_free()

    asyncio.run(scene())


def test_task_renews_a_held_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the block takes, nobody else gets in."""
    monkeypatch.setattr(asynchronous, "BEAT_SECONDS", 0)

    async def scene() -> None:
        async with stage() as on, on.guard.lock(on.session, "a") as lock:
            for _ in range(4):
                on.clock.advance(seconds=LEASE_SECONDS / 2)
                on.store.forget()
                await on.until(lambda: on.store.verbs().count("renew_lock") >= 2)
                assert not await on.is_free()
            lock.check()

    asyncio.run(scene())


def test_holder_learns_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stall longer than the lease, `check` raises inside the block, and so does leaving it."""
    monkeypatch.setattr(asynchronous, "BEAT_SECONDS", 0)

    async def scene() -> None:
        async with stage() as on:
            lost = asyncio.Event()
            on.guard.subscribe(lambda event: lost.set() if type(event).__name__ == "LockLost" else None)
            lock = on.guard.lock(on.session, "a")
            await lock.__aenter__()
            on.clock.advance(seconds=LEASE_SECONDS)
            await asyncio.wait_for(lost.wait(), PATIENCE)
            await asyncio.sleep(0)
            with pytest.raises(LockLostError):
                lock.check()
            with pytest.raises(LockLostError):
                await lock.__aexit__(None, None, None)

    asyncio.run(scene())


def test_failing_beats_do_not_lose_the_lock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """While the store does not answer nobody knows; when it does, the lock is still held."""
    monkeypatch.setattr(asynchronous, "BEAT_SECONDS", 0)

    async def scene() -> None:
        async with stage() as on:
            beats = 0

            def around(command: Any, ask: Any) -> Any:
                nonlocal beats
                if command.verb == "renew_lock":
                    beats += 1
                    if beats < 3:
                        raise OSError("no route to the store")
                return ask()

            on.store.around = around
            async with on.guard.lock(on.session, "a") as lock:
                await on.until(lambda: beats >= 5)
                lock.check()

    asyncio.run(scene())
    assert "a beat failed" in caplog.text


def test_one_lock_entered_by_two_tasks_is_held_once() -> None:
    """The second is told of its mistake while the first is still on its way in."""

    async def scene() -> None:
        async with stage() as on:
            on.hold_up("acquire_lock")
            lock = on.guard.lock(on.session, "a")
            first = asyncio.create_task(lock.__aenter__())
            await on.arrival()
            with pytest.raises(MisuseError, match="entered once"):
                await lock.__aenter__()
            on.go_on.set()
            await first
            assert not await on.is_free()
            await lock.__aexit__(None, None, None)
            assert await on.is_free()

    asyncio.run(scene())


def test_lock_that_was_not_entered_may_be_tried_again() -> None:
    """A timeout is no holding."""

    async def scene() -> None:
        async with stage() as on:
            again = on.guard.lock(on.session, "a", timeout=AT_ONCE)
            async with on.guard.lock(on.session, "a"):
                with pytest.raises(LockTimeoutError):
                    await again.__aenter__()
            async with again:
                assert again.fence > 0

    asyncio.run(scene())


def test_guard_closed_inside_the_block_ends_the_renewing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can renew any more, which is not told at every beat."""
    monkeypatch.setattr(asynchronous, "BEAT_SECONDS", 0.001)

    async def scene() -> None:
        async with stage() as on:
            lock = on.guard.lock(on.session, "a")
            await lock.__aenter__()
            await on.guard.close()
            assert lock._beating is not None
            await asyncio.wait_for(lock._beating, PATIENCE)

    with caplog.at_level("WARNING"):
        asyncio.run(scene())
    assert caplog.records == []
