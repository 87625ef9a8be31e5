"""The two drivers: replies go in, errors and cancellation are thrown in, the flow is always closed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sessionguard.core.commands import Get, Identify, Pause
from sessionguard.core.driving import Flow, perform, run, run_async
from sessionguard.core.file_commands import FindGarbage, RemoveWorkspace
from sessionguard.errors import IdentityMismatchError, StoreUnavailableError
from tests.core.making import record
from tests.core.scripting import AsyncScriptedStore, ScriptedStore, recorded

ID = "ab" + "0" * 32
GET = Get(ID, None)


def run_blocking(flow: Flow[Any], store: ScriptedStore, files: Any = None, paused: list[float] | None = None) -> Any:
    """Run a flow by the blocking driver."""
    return run(flow, store, files, (paused if paused is not None else []).append)


def run_awaited(flow: Flow[Any], store: ScriptedStore, files: Any = None, paused: list[float] | None = None) -> Any:
    """Run the same flow by the async driver, over an async store with the same script."""
    twin = AsyncScriptedStore(*store.script)

    async def pause(seconds: float) -> None:
        (paused if paused is not None else []).append(seconds)

    async def scene() -> Any:
        try:
            return await run_async(flow, twin, None if files is None else AsyncFiles(files), pause)
        finally:
            store.asked, store.distrust_count = twin.asked, twin.distrust_count

    return asyncio.run(scene())


class Files:
    """Workspaces that tell what they were asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def remove(self, session_id: str) -> str:
        """Remember it."""
        self.asked.append(session_id)
        return "removed"

    def candidates(self, limit: int, deployment_id: str) -> list[str]:
        """Remember it."""
        self.asked += [limit, deployment_id]
        return ["candidate"]


class AsyncFiles:
    """The same, awaitable."""

    def __init__(self, files: Files) -> None:
        self.files = files

    async def remove(self, session_id: str) -> str:
        """Remember it."""
        return self.files.remove(session_id)

    async def candidates(self, limit: int, deployment_id: str) -> list[str]:
        """Remember it."""
        return self.files.candidates(limit, deployment_id)


@pytest.fixture(params=[run_blocking, run_awaited], ids=["blocking", "async"])
def drive(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Either driver."""
    return request.param  # type: ignore[no-any-return]


def test_replies_go_in_and_the_result_comes_out(drive: Callable[..., Any]) -> None:
    """Each command is asked once, in order."""
    told, store = recorded(Identify(), GET), ScriptedStore("name", record())
    assert drive(told.flow(), store) == "result"
    assert told.replies == ["name", record()]
    assert store.asked == [Identify(), GET]
    assert told.closed == [True]


def test_flow_without_a_question_asks_nothing(drive: Callable[..., Any]) -> None:
    """A result that needs no store is given at once."""
    store = ScriptedStore()
    assert drive(recorded().flow(), store) == "result"
    assert store.asked == []


def test_files_and_pauses_go_elsewhere(drive: Callable[..., Any]) -> None:
    """The store is asked nothing that is not its business."""
    told, store, files = recorded(RemoveWorkspace(ID), FindGarbage(7, "d" * 32), Pause(0.5)), ScriptedStore(), Files()
    paused: list[float] = []
    assert drive(told.flow(), store, files, paused) == "result"
    assert told.replies[:2] == ["removed", ["candidate"]]
    assert (files.asked, paused, store.asked) == ([ID, 7, "d" * 32], [0.5], [])


@pytest.mark.parametrize(
    "error",
    [StoreUnavailableError("scripted", "get", "gone"), OSError(5), KeyboardInterrupt(), SystemExit(3)],
    ids=repr,
)
def test_error_is_thrown_in_where_the_flow_waits(drive: Callable[..., Any], error: BaseException) -> None:
    """The flow sees the very error; unless it catches it, so does the caller, and the flow is closed."""
    told = recorded(Identify(), GET)
    with pytest.raises(type(error)) as caught:
        drive(told.flow(), ScriptedStore("name", error))
    assert caught.value is error
    assert told.thrown == [error]
    assert told.closed == [True]


def test_flow_may_catch_and_go_on(drive: Callable[..., Any]) -> None:
    """What it asks next is asked, and its result counts."""
    told, error = recorded(GET, Identify()), StoreUnavailableError("scripted", "get", "gone")
    assert drive(told.flow(catches=True), ScriptedStore(error, "name")) == "result"
    assert (told.thrown, told.replies) == ([error], ["name"])


def test_error_of_the_flow_itself_comes_out(drive: Callable[..., Any]) -> None:
    """And it is closed."""

    def failing() -> Flow[None]:
        yield from perform(Identify())
        raise ZeroDivisionError

    flow = failing()
    with pytest.raises(ZeroDivisionError):
        drive(flow, ScriptedStore("name"))
    with pytest.raises(StopIteration):
        next(flow)


def test_t05_mismatch_reaches_flow_and_caller_and_the_store_is_distrusted(drive: Callable[..., Any]) -> None:
    """The reply does not reach the flow, and nothing else is asked."""
    told, store = recorded(GET, Identify()), ScriptedStore(record(id="cd" * 17), "name")
    with pytest.raises(IdentityMismatchError) as caught:
        drive(told.flow(), store)
    assert caught.value.field == "id"
    assert told.replies == []
    assert store.distrust_count == 1
    assert store.asked == [GET]
    assert told.closed == [True]


def test_mismatch_that_the_flow_finds_distrusts_too(drive: Callable[..., Any]) -> None:
    """What only the flow can compare counts the same."""

    def comparing() -> Flow[None]:
        yield from perform(Identify())
        raise IdentityMismatchError("scripted", "save", "owner")

    store = ScriptedStore("name")
    with pytest.raises(IdentityMismatchError):
        drive(comparing(), store)
    assert store.distrust_count == 1


def test_other_errors_distrust_nothing(drive: Callable[..., Any]) -> None:
    """A store that is down may be right tomorrow."""
    store = ScriptedStore(StoreUnavailableError("scripted", "get", "gone"))
    with pytest.raises(StoreUnavailableError):
        drive(recorded(GET).flow(), store)
    assert store.distrust_count == 0


def test_cancellation_is_thrown_in_and_goes_on() -> None:
    """The flow learns of it where it waits, is closed, and the task ends as cancelled."""
    told = recorded(GET, Identify())

    class Waiting(AsyncScriptedStore):
        """Never answers."""

        async def get(self, command: Get) -> None:
            """Wait for ever."""
            begun.set()
            await asyncio.Event().wait()

    async def scene() -> None:
        task = asyncio.create_task(run_async(told.flow(), Waiting()))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    begun = asyncio.Event()
    asyncio.run(scene())
    assert [type(error) for error in told.thrown] == [asyncio.CancelledError]
    assert told.closed == [True]


def test_cancellation_during_a_pause_is_thrown_in() -> None:
    """Nobody sleeps on after being cancelled."""
    told = recorded(Pause(3600.0), Identify())

    async def scene() -> None:
        task = asyncio.create_task(run_async(told.flow(), AsyncScriptedStore(), None, asyncio.sleep))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(scene())
    assert told.closed == [True]
