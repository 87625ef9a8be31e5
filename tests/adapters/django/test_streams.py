"""Streamed responses: over when the session is that they depend on, and closed whatever ends them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.http import HttpRequest, StreamingHttpResponse
from django.test import AsyncClient

from sessionguard.errors import SessionEndedError
from tests.adapters.asgi.calling import call
from tests.adapters.django.browser import Browser
from tests.adapters.django.project import Project

pytestmark = pytest.mark.usefixtures("guarded")


def test_t11_a_blocking_stream_is_cut_off_when_its_session_ends(project: Project) -> None:
    """Nothing that was made afterwards is sent; an outage of the store meanwhile is no end."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=0.000_001)
    sent: list[bytes] = []

    def body() -> Iterator[bytes]:
        yield b"before"
        project.store.failing = {"get"}
        yield b"outage"
        project.store.failing = set()
        [session] = project.guard.sessions()
        project.guard.end(session)
        yield b"after"

    @project.view
    def stream(request: HttpRequest) -> Any:
        request.session["a"] = 1
        return StreamingHttpResponse(body())

    answer = Browser("sync").post("/stream")
    with pytest.raises(SessionEndedError):
        sent.extend(answer)
    assert sent == [b"before", b"outage"]


def test_t11_an_async_stream_is_cut_off_when_its_session_ends(project: Project) -> None:
    """Also while it waits for what never comes; its own clean-up runs."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=0.01)
    seen: list[Any] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"before"
            [session] = project.guard.sessions()
            project.guard.end(session)
            await asyncio.Event().wait()
            yield b"never"
        finally:
            seen.append("closed")

    @project.view
    async def stream(request: HttpRequest) -> Any:
        await request.session.aset("a", 1)
        return StreamingHttpResponse(body())

    async def scene() -> None:
        answer: Any = await AsyncClient().post("/async/stream")
        async for part in answer.streaming_content:
            seen.append(part)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scene())
    assert seen == [b"before", "closed"]


@pytest.mark.parametrize("interval", [0.01, None])
def test_an_async_stream_goes_on_in_one_task(project: Project, interval: float | None) -> None:
    """A time limit over several parts, a task group and a context variable hold as they do without us."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=interval)
    number: ContextVar[int] = ContextVar("number", default=0)

    async def body() -> AsyncIterator[bytes]:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(2):
                number.set(number.get() + 1)
                yield str(number.get()).encode()
                await group.create_task(asyncio.sleep(0.02))
        try:
            async with asyncio.timeout(0):
                yield b"limited"
                await asyncio.Event().wait()
        except TimeoutError:
            yield b"over"

    @project.view
    async def stream(request: HttpRequest) -> Any:
        await request.session.aset("a", 1)
        return StreamingHttpResponse(body())

    async def scene() -> list[bytes]:
        answer: Any = await AsyncClient().post("/async/stream")
        # Or it would wait for ever where the limit within ends another task.
        async with asyncio.timeout(5):
            return [part async for part in answer.streaming_content]

    assert asyncio.run(scene()) == [b"1", b"2", b"limited", b"over"]


@pytest.mark.parametrize("how", ["swallowed", "cancelled", "failing"])
def test_t11_an_async_stream_that_is_cut_off_leaves_its_task_as_it_was(project: Project, how: str) -> None:
    """A body that goes on in spite of it sends nothing; who else cancelled sees that, and its own errors come out."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=0.01)
    seen: list[Any] = []

    async def body() -> AsyncIterator[bytes]:
        yield b"before"
        [session] = project.guard.sessions()
        project.guard.end(session)
        task = asyncio.current_task()
        assert task is not None
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if how == "cancelled":
                task.cancel()
            if how == "failing":
                raise ZeroDivisionError from None
            if how == "swallowed":
                yield b"after"
            raise

    @project.view
    async def stream(request: HttpRequest) -> Any:
        await request.session.aset("a", 1)
        return StreamingHttpResponse(body())

    async def scene() -> None:
        answer: Any = await AsyncClient().post("/async/stream")
        task = asyncio.current_task()
        assert task is not None
        try:
            async for part in answer.streaming_content:
                seen.append(part)
        finally:
            seen.append(task.cancelling())

    expected = {"swallowed": asyncio.CancelledError, "cancelled": asyncio.CancelledError, "failing": ZeroDivisionError}
    with pytest.raises(expected[how]):
        asyncio.run(scene())
    assert seen == [b"before", 1 if how == "cancelled" else 0]


@pytest.mark.parametrize("is_async", [False, True])
def test_t11_a_stream_that_first_looks_at_the_session_in_its_body_is_cut_off(project: Project, is_async: bool) -> None:
    """It depends on the session from then on, as one whose view had looked at it."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=0.01 if is_async else 0.000_001)
    sent: list[bytes] = []

    def end() -> None:
        [session] = project.guard.sessions()
        project.guard.end(session)

    def body(request: HttpRequest) -> Iterator[bytes]:
        yield str(request.session["a"]).encode()
        end()
        yield b"after"

    async def awaited_body(request: HttpRequest) -> AsyncIterator[bytes]:
        yield str(await request.session.aget("a")).encode()
        end()
        await asyncio.Event().wait()

    @project.view
    def fill(request: HttpRequest) -> Any:
        request.session["a"] = 1

    @project.view
    def stream(request: HttpRequest) -> Any:
        return StreamingHttpResponse(awaited_body(request) if is_async else body(request))

    async def collect_awaited(client: AsyncClient) -> None:
        answer: Any = await client.get("/stream")
        async with asyncio.timeout(10):
            async for part in answer.streaming_content:
                sent.append(part)

    def collect() -> None:
        if is_async:
            asyncio.run(collect_awaited(browser._client))
        else:
            sent.extend(browser.get("/stream"))

    browser = Browser("async" if is_async else "sync")
    browser.post("/fill")
    with pytest.raises(asyncio.CancelledError if is_async else SessionEndedError):
        collect()
    assert sent == [b"1"]


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
@pytest.mark.parametrize("is_async", [False, True])
def test_t11_a_stream_that_is_cut_off_is_closed_under_asgi(project: Project, is_async: bool) -> None:
    """As one whose client has gone: what the view opened, the body of the request, connections to databases."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=0.01 if is_async else 0.000_001)
    seen: list[Any] = []
    received: list[Any] = []

    def end() -> bytes:
        [session] = project.guard.sessions()
        project.guard.end(session)
        return b"after"

    def body() -> Iterator[bytes]:
        yield b"before"
        yield end()

    async def awaited_body() -> AsyncIterator[bytes]:
        yield b"before"
        end()
        await asyncio.Event().wait()

    @project.view
    def stream(request: HttpRequest) -> Any:
        request.session["a"] = 1
        received.append(request._stream)
        response = StreamingHttpResponse(awaited_body() if is_async else body())
        response._resource_closers.append(lambda: seen.append("closed"))  # type: ignore[attr-defined]
        return response

    def finished(**_: Any) -> None:
        seen.append("finished")

    async def note(message: dict[str, Any]) -> None:
        seen.extend([message["body"]] if "body" in message else ["begun"])

    request_finished.connect(finished)
    try:
        host = [("Host", "testserver")]
        asyncio.run(asyncio.wait_for(call(ASGIHandler(), "/stream", headers=host, body=b"x", seen=note), 10))
    finally:
        request_finished.disconnect(finished)
    # No last part, which would make it look whole. Django makes all of a blocking body before it sends any.
    assert seen == ["begun", *([b"before"] if is_async else []), "closed", "finished"]
    assert [stream.closed for stream in received] == [True]


@pytest.mark.parametrize("is_async", [False, True])
def test_t11_a_stream_is_over_when_set_expiry_said_so(project: Project, is_async: bool) -> None:
    """The store has the session as active for longer: what Django was told counts as it does for a request."""
    project.use(SESSIONGUARD_CHECK_INTERVAL=0.01 if is_async else 0.000_001)
    sent: list[bytes] = []

    def body() -> Iterator[bytes]:
        yield b"before"
        project.pass_time(timedelta(minutes=6))
        yield b"after"

    async def awaited_body() -> AsyncIterator[bytes]:
        yield b"before"
        project.pass_time(timedelta(minutes=6))
        await asyncio.Event().wait()

    @project.view
    def stream(request: HttpRequest) -> Any:
        request.session["a"] = 1
        request.session.set_expiry(300)
        return StreamingHttpResponse(awaited_body() if is_async else body())

    async def collect_awaited() -> None:
        answer: Any = await AsyncClient().post("/stream")
        async with asyncio.timeout(10):
            async for part in answer.streaming_content:
                sent.append(part)

    if is_async:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(collect_awaited())
    else:
        with pytest.raises(SessionEndedError):
            sent.extend(Browser("sync").post("/stream"))
    assert sent == [b"before"]
