"""Workspaces for asyncio."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sessionguard.core.commands import Fence
from sessionguard.errors import LeaseLostError, QuotaExceededError
from sessionguard.offloading import in_thread
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Quota, Removal, Usage
from sessionguard.workspaces.contract import Workspace
from sessionguard.workspaces.offloaded import AsyncWorkspace, OffloadedWorkspaces
from tests.workspaces.conftest import UNLIMITED


def test_every_call_has_an_awaitable_twin(workspaces: LocalWorkspaces, session_id: str) -> None:
    """What a workspace does blocking it does awaiting."""

    async def use() -> None:
        async with await AsyncWorkspace.lease(workspaces, session_id, Quota(100, 3)) as workspace:
            assert workspace.session_id == session_id
            assert await workspace.write("a/b", b"12") == 2
            assert await workspace.read("a/b") == b"12"
            async with workspace.open("t", "w") as file:
                await file.write("é")
                assert await workspace.list() == ["a/b"]
            async with workspace.open("t", "r") as file:
                assert await file.read(10) == "é"
            assert await workspace.list() == ["a/b", "t"]
            assert await workspace.usage() == Usage(4, 2)
            assert (workspace.path / "t").exists()
            assert await workspace.delete("t") is True
            with pytest.raises(QuotaExceededError):
                await workspace.write("x", b"x" * 101)
            assert workspaces.remove(session_id).deferred
            with pytest.raises(LeaseLostError):
                await AsyncWorkspace.lease(workspaces, session_id, UNLIMITED)
        assert workspaces.remove(session_id) == Removal(0, 0, deferred=False)

    asyncio.run(use())


def test_all_workspaces_have_an_awaitable_twin(root: Path, session_id: str) -> None:
    """Leasing, removing and looking for garbage can be awaited."""

    async def use() -> None:
        workspaces = OffloadedWorkspaces(LocalWorkspaces(root))
        await workspaces.open("deployment")
        async with await workspaces.lease(session_id, UNLIMITED) as workspace:
            await workspace.write("a", b"1")
            assert await workspaces.remove(session_id) == Removal(0, 0, deferred=True)
        assert await workspaces.candidates(10) == []

    asyncio.run(use())


def test_the_two_workspaces_have_the_same_names(workspaces: LocalWorkspaces) -> None:
    """Names and parameters of the awaitable workspace are those of the blocking one."""
    names = [name for name in vars(Workspace) if not name.startswith("_")]
    assert [name for name in vars(AsyncWorkspace) if not name.startswith("_") and name != "lease"] == names
    for name in names:
        blocking, awaitable = getattr(Workspace, name), getattr(AsyncWorkspace, name)
        if callable(blocking):
            ours, theirs = inspect.signature(blocking).parameters, inspect.signature(awaitable).parameters
            # What arrives awaited can be written, too.
            both = [[p.replace(annotation=p.empty) for p in side.values()] for side in (ours, theirs)]
            assert both[0] == both[1]


class Upload:
    """An upload as ASGI frameworks give it."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    async def read(self, size: int = -1) -> bytes:
        """Give the next bytes."""
        piece, self._left = self._left[:size], self._left[size:]
        return piece


def test_what_arrives_awaited_is_written_in_pieces(workspaces: LocalWorkspaces, session_id: str) -> None:
    """The stream of a request and an upload; one that breaks off leaves what was there."""

    async def stream(*pieces: bytes, breaks: bool = False) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        if breaks:
            raise ConnectionResetError

    async def use() -> None:
        async with await AsyncWorkspace.lease(workspaces, session_id, UNLIMITED) as workspace:
            assert await workspace.write("a", stream(b"12", b"", b"345")) == 5
            with pytest.raises(ConnectionResetError):
                await workspace.write("a", stream(b"6", breaks=True))
            assert await workspace.write("b", Upload(b"x" * 2_000_001)) == 2_000_001
            async with workspace.open("b") as file:
                sizes = [len(piece) async for piece in file.pieces(1_000_000)]
            assert sizes == [1_000_000, 1_000_000, 1]
            assert await workspace.read("a") == b"12345"

    asyncio.run(use())


async def fail_half_way(workspace: AsyncWorkspace) -> None:
    """Write a part of a file and raise."""
    async with workspace.open("a", "wb") as file:
        await file.write(b"1")
        raise KeyError


def test_an_exception_discards_what_was_written(workspaces: LocalWorkspaces, session_id: str) -> None:
    """An exception in the `async with` block leaves nothing."""

    async def use() -> None:
        async with await AsyncWorkspace.lease(workspaces, session_id, UNLIMITED) as workspace:
            with pytest.raises(KeyError):
                await fail_half_way(workspace)
            assert await workspace.list() == []
            file = await workspace.open("b", "wb")
            await file.write(b"1")
            await file.close()
            assert await workspace.list() == ["b"]

    asyncio.run(use())


def cancelled_while_running(call: Callable[[Callable[[], None]], Awaitable[object]]) -> bool:
    """Cancel `call` while its thread is in the function given to it; tell if the thread had ended by then."""
    entered, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def pause() -> None:
        entered.set()
        assert go_on.wait(10)
        ended.set()

    async def main() -> bool:
        task = asyncio.ensure_future(call(pause))
        await asyncio.get_running_loop().run_in_executor(None, entered.wait, 10)
        for _ in range(3):
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=0.01)
            assert not done
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ended.is_set()

    return asyncio.run(main())


def test_t70_a_cancelled_call_ends_before_the_cancellation_goes_on() -> None:
    """However often it is cancelled, a call that runs in a thread is waited for, and then cancelled."""
    assert cancelled_while_running(in_thread)


def test_t70_a_lease_taken_for_a_cancelled_caller_is_given_back(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the caller is cancelled while its lease is taken, nobody holds the workspace afterwards."""
    real = LocalWorkspaces.lease
    kept: list[LocalWorkspace] = []

    async def lease(pause: Callable[[], None]) -> object:
        def slow(self: LocalWorkspaces, session_id: str, quota: Quota, fence: Fence | None) -> LocalWorkspace:
            pause()
            kept.append(real(self, session_id, quota, fence))
            return kept[0]

        monkeypatch.setattr(LocalWorkspaces, "lease", slow)
        return await AsyncWorkspace.lease(workspaces, session_id, UNLIMITED)

    assert cancelled_while_running(lease)
    assert not workspaces.remove(session_id).deferred


def test_t70_a_file_opened_for_a_cancelled_caller_is_discarded(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the caller is cancelled while a file is opened, the file is neither published nor left."""
    real = LocalWorkspace.open
    kept: list[object] = []

    async def open_file(pause: Callable[[], None]) -> object:
        def slow(self: LocalWorkspace, name: str, mode: str = "rb", **options: object) -> object:
            pause()
            kept.append(real(self, name, mode))
            return kept[0]

        monkeypatch.setattr(LocalWorkspace, "open", slow)
        workspace = await AsyncWorkspace.lease(workspaces, session_id, UNLIMITED)
        try:
            return await workspace.open("a", "wb")
        finally:
            assert await workspace.list() == []
            await workspace.close()

    assert cancelled_while_running(open_file)
    assert kept[0].closed  # type: ignore[attr-defined]


def test_t70_a_write_that_was_under_way_is_whole(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A cancelled write is done or not done, never half, and the workspace can be closed."""

    async def use() -> None:
        async with await AsyncWorkspace.lease(workspaces, session_id, UNLIMITED) as workspace:
            for number in range(30):
                task = asyncio.ensure_future(workspace.write("a", b"%03d" % number * 1000))
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            content = await workspace.read("a")
            assert content == content[:3] * 1000

    asyncio.run(use())
