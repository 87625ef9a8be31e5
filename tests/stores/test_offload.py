"""The store behind a thread: calls are finished before cancellation goes on, quick reads need no thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, MisuseError
from sessionguard.core.commands import Identify
from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.offload import OffloadedStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import in_children
from tests.guard.watching import WatchedStore

PATIENCE = 30.0


class SlowStore(WatchedStore):
    """Every call waits in its thread until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.done: list[str] = []
        self.error: Exception | None = None
        self.around = self._slowly

    def _slowly(self, command: Any, ask: Callable[[], Any]) -> Any:
        self.begun.release()
        assert self.go_on.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        reply = ask()
        self.done.append(command.verb)
        return reply

    async def arrival(self) -> None:
        """Wait until a call is in its thread."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE)


def threads() -> list[str]:
    """Give the names of the threads of offloaded stores."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sessionguard-memory")]


def play(scene: Callable[[SlowStore, OffloadedStore], Coroutine[Any, Any, None]]) -> None:
    """Run `scene` on a slow store, and close that."""

    async def run() -> None:
        slow = SlowStore()
        offloaded = OffloadedStore(slow)
        await scene(slow, offloaded)
        slow.go_on.set()
        await offloaded.close()

    asyncio.run(run())


@pytest.mark.parametrize("times", [1, 5])
def test_t03_cancelled_call_is_finished_before_cancellation_goes_on(times: int) -> None:
    """However often it is cancelled: when the task has ended, the call has too, and its outcome is in the store."""

    async def scene(slow: SlowStore, offloaded: OffloadedStore) -> None:
        task = asyncio.create_task(offloaded.identify(Identify()))
        await slow.arrival()
        for _ in range(times):
            task.cancel()
            for _ in range(3):
                await asyncio.sleep(0)
            assert not task.done()
        slow.go_on.set()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.cancelled()
        assert slow.done == ["identify"]

    play(scene)


def test_t03_call_that_has_not_begun_is_never_made() -> None:
    """Cancelled while it waits for the thread, it leaves the queue at once."""

    async def scene(slow: SlowStore, offloaded: OffloadedStore) -> None:
        first = asyncio.create_task(offloaded.identify(Identify()))
        await slow.arrival()
        second = asyncio.create_task(offloaded.identify(Identify()))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second], timeout=PATIENCE)
        assert second.cancelled()
        assert not first.done()
        slow.go_on.set()
        await first
        assert slow.done == ["identify"]

    play(scene)


def test_t03_timeout_waits_for_the_call_it_gives_up() -> None:
    """`asyncio.timeout` ends as a timeout, after the store has answered."""

    async def scene(slow: SlowStore, offloaded: OffloadedStore) -> None:
        asyncio.get_running_loop().call_later(0.02, slow.go_on.set)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await offloaded.identify(Identify())
        assert slow.done == ["identify"]

    play(scene)


def test_error_of_a_cancelled_call_is_seen() -> None:
    """The caller is cancelled, not failed, and nothing complains of an error that nobody fetched."""
    complaints: list[Any] = []

    async def scene(slow: SlowStore, offloaded: OffloadedStore) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        slow.error = OSError(5, "the disk is gone")
        task = asyncio.create_task(offloaded.identify(Identify()))
        await slow.arrival()
        task.cancel()
        slow.go_on.set()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.cancelled()

    play(scene)
    assert complaints == []


def test_error_comes_out_as_it_is() -> None:
    """No wrapping on the way from the thread."""

    async def scene(slow: SlowStore, offloaded: OffloadedStore) -> None:
        slow.error = OSError(5, "the disk is gone")
        slow.go_on.set()
        with pytest.raises(OSError, match="the disk is gone") as caught:
            await offloaded.identify(Identify())
        assert caught.value is slow.error

    play(scene)


def test_loop_goes_on_while_a_call_waits() -> None:
    """A store that waits for another process holds up nobody else."""

    async def scene(slow: SlowStore, offloaded: OffloadedStore) -> None:
        task = asyncio.create_task(offloaded.identify(Identify()))
        await slow.arrival()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        slow.go_on.set()
        assert len(await task) == 32

    play(scene)


def test_inline_reads_use_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs no write is answered in the loop: of SQLite the reads, of memory everything."""

    async def scene() -> list[str]:
        memory = AsyncSessionGuard(MemoryStore(), sweep_interval=None)
        session = await memory.create("ada")
        await memory.load(session.token)
        await memory.save(session, {"a": 1})
        in_memory = [thread.name for thread in threading.enumerate() if thread.name not in before]
        async with AsyncSessionGuard.open(f"sqlite:///{tmp_path}/s.db", sweep_interval=None) as guard:
            session = await guard.create("ada")
            await guard.get_or_create("bob")
            with monkeypatch.context() as patch:
                patch.setattr(OffloadedStore, "_in_thread", None)
                assert await guard.load(session.token) is not None
                assert not (await guard.get_or_create("bob")).is_new
        return in_memory

    before = {thread.name for thread in threading.enumerate()}
    assert asyncio.run(scene()) == []


def test_one_thread_writes_and_one_reads() -> None:
    """However many tasks there are."""

    async def scene() -> None:
        watched = WatchedStore(MemoryStore())
        watched.around = lambda command, ask: ask()
        before = threads()
        guard = AsyncSessionGuard(watched, sweep_interval=None)
        await asyncio.gather(*(guard.create("ada") for _ in range(20)))
        assert len(threads()) == len(before) + 2
        await guard._store.close()

    asyncio.run(scene())


class StoppedWriter(WatchedStore):
    """Writes wait until the test lets them go on; reads do not."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.around = self._slowly

    def _slowly(self, command: Any, ask: Callable[[], Any]) -> Any:
        if command.verb == "save":
            self.begun.set()
            assert self.go_on.wait(PATIENCE)
        return ask()


def test_who_waited_too_long_for_the_thread_is_refused() -> None:
    """With nothing done, and at the same time as all others: patience is not added up from call to call."""

    async def scene() -> None:
        store = StoppedWriter()
        async with AsyncSessionGuard(OffloadedStore(store, patience_seconds=0.05), sweep_interval=None) as guard:
            session = await guard.create("ada")
            first = asyncio.create_task(guard.save(session, {"first": 1}))
            assert await asyncio.to_thread(store.begun.wait, PATIENCE)
            others = [asyncio.create_task(guard.save(session, {str(number): 1})) for number in range(20)]
            await asyncio.sleep(0.1)
            store.go_on.set()
            assert (await first).version == 2
            for refused in await asyncio.gather(*others, return_exceptions=True):
                assert isinstance(refused, StoreTimeoutError)
            assert dict((await guard.save(session, {"next": 1})).data) == {"first": 1, "next": 1}

    asyncio.run(scene())


def test_readers_do_not_wait_for_writers() -> None:
    """A write that waits for another process holds up no list and no look-up."""

    async def scene() -> None:
        store = StoppedWriter()
        async with AsyncSessionGuard(store, sweep_interval=None) as guard:
            session = await guard.create("ada")
            writing = asyncio.create_task(guard.save(session, {"a": 1}))
            assert await asyncio.to_thread(store.begun.wait, PATIENCE)
            assert await asyncio.wait_for(guard.get(session.id), PATIENCE) is not None
            assert len([found async for found in guard.sessions()]) == 1
            assert not writing.done()
            store.go_on.set()
            await writing

    asyncio.run(scene())


def test_patience_is_that_of_the_store(tmp_path: Path) -> None:
    """Unless it has none of its own, or the caller knows better."""
    assert OffloadedStore(SQLiteStore(tmp_path / "s.db", patience_seconds=0.5))._patience_seconds == 0.5
    assert OffloadedStore(MemoryStore())._patience_seconds == 5.0
    assert OffloadedStore(MemoryStore(), patience_seconds=0.1)._patience_seconds == 0.1


def test_closing_closes_the_store_and_ends_the_thread() -> None:
    """Twice is fine; afterwards every call is refused."""

    async def scene(store: MemoryStore, offloaded: OffloadedStore) -> None:
        await offloaded.distrust()
        (thread,) = offloaded._writer._threads
        await offloaded.close()
        await offloaded.close()
        await asyncio.to_thread(thread.join, PATIENCE)
        assert not thread.is_alive()
        with pytest.raises(MisuseError):
            await offloaded.identify(Identify())

    memory = MemoryStore()
    asyncio.run(scene(memory, OffloadedStore(memory)))


@pytest.mark.processes
def test_t02_forked_child_uses_a_thread_of_its_own(tmp_path: Path) -> None:
    """The parent's thread does not exist there; the first call starts another."""
    offloaded = OffloadedStore(SQLiteStore(tmp_path / "sessions.db"))
    guard = AsyncSessionGuard(offloaded, sweep_interval=None)
    token = asyncio.run(guard.create("ada")).token

    async def use() -> int:
        session = await asyncio.wait_for(guard.load(token), PATIENCE)
        assert session is not None
        return (await asyncio.wait_for(guard.save(session, {"child": True}), PATIENCE)).version

    assert in_children(1, lambda number: asyncio.run(use())) == [2]
    session = asyncio.run(guard.load(token))
    assert session is not None
    assert dict(session.data) == {"child": True}
    asyncio.run(offloaded.close())
