"""`current_session`: that of this request and no other, in threads, tasks and executors."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessionguard import Session, SessionGuard, current_session
from sessionguard.context import enter, leave


@pytest.fixture
def guard() -> Iterator[SessionGuard]:
    """A guard in memory."""
    with SessionGuard.open("memory://", sweep_interval=None) as opened:
        yield opened


def test_outside_a_request_there_is_none() -> None:
    """Asking creates nothing."""
    assert current_session() is None


def test_inside_a_request_it_is_that_of_the_request(guard: SessionGuard) -> None:
    """From `enter` to `leave`, also nested."""
    outer, inner = guard.create("ada"), guard.create("bob")
    first = enter(outer)
    assert current_session() is outer
    second = enter(inner)
    assert current_session() is inner
    leave(second)
    assert current_session() is outer
    leave(first)
    assert current_session() is None


def test_request_without_a_session_has_none(guard: SessionGuard) -> None:
    """Also inside another request that has one."""
    first = enter(guard.create("ada"))
    second = enter(None)
    assert current_session() is None
    leave(second)
    leave(first)


def test_resolver_is_asked_when_the_session_is_wanted(guard: SessionGuard) -> None:
    """An adapter that loads at first use learns of the use."""
    session, asked = guard.create("ada"), list[bool]()

    def resolve() -> Session | None:
        asked.append(True)
        return session

    token = enter(resolve)
    assert asked == []
    assert current_session() is session
    assert asked == [True]
    leave(token)


def test_t09_executor_thread_keeps_nothing(guard: SessionGuard) -> None:
    """A thread that served one request shows no session to what it does next."""
    session = guard.create("ada")

    def serve() -> Session | None:
        token = enter(session)
        try:
            return current_session()
        finally:
            leave(token)

    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(serve).result() is session
        assert executor.submit(current_session).result() is None
        assert executor.submit(contextvars.copy_context().run, current_session).result() is None


def test_tasks_do_not_see_each_others_sessions(guard: SessionGuard) -> None:
    """Requests that are served at once in one loop stay apart."""
    sessions = [guard.create(f"owner-{number}") for number in range(20)]

    async def serve(session: Session) -> bool:
        token = enter(session)
        try:
            for _ in range(5):
                await asyncio.sleep(0)
                if current_session() is not session:
                    return False
            return True
        finally:
            leave(token)

    async def scene() -> list[bool]:
        return await asyncio.gather(*map(serve, sessions))

    assert all(asyncio.run(scene()))
    assert current_session() is None


def test_new_thread_begins_without(guard: SessionGuard) -> None:
    """A session is handed to background work explicitly or not at all."""
    token = enter(guard.create("ada"))
    seen: list[Session | None] = []
    thread = threading.Thread(target=lambda: seen.append(current_session()))
    thread.start()
    thread.join()
    leave(token)
    assert seen == [None]


def test_t10_job_that_copied_the_context_is_outside_afterwards(guard: SessionGuard) -> None:
    """While the request runs, the copy shows its session; afterwards none, and nothing is resolved."""
    session = guard.create("ada")
    for current in (session, lambda: session):
        entry = enter(current)
        copied = contextvars.copy_context()
        assert copied.run(current_session) is session
        leave(entry)
        assert copied.run(current_session) is None


def test_leaving_an_inner_request_leaves_the_outer_in_its_copies(guard: SessionGuard) -> None:
    """Each request empties what it entered, and nothing else."""
    session = guard.create("ada")
    outer = enter(session)
    copied = contextvars.copy_context()
    inner = enter(guard.create("bob"))
    leave(inner)
    assert copied.run(current_session) is session
    leave(outer)


def test_request_that_another_thread_ends_is_over_everywhere(guard: SessionGuard) -> None:
    """Servers may close a response elsewhere; no error, and what runs there keeps its own session."""
    mine, his = guard.create("ada"), guard.create("bob")
    entry = enter(mine)

    def close() -> Session | None:
        own = enter(his)
        leave(entry)
        found = current_session()
        leave(own)
        return found

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(close).result() is his
    assert current_session() is None
