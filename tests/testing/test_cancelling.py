"""Cancelling everywhere: every suspension is hit in every way, and each kind of wrong answer is caught."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis.asyncio

from sessionguard.errors import InvalidArgumentError
from sessionguard.testing import CancelError, CancelPoint, CancelReport, RedisServer, TcpProxy, cancel_everywhere
from sessionguard.testing.faults.cancelling import CANCEL_WAYS, CancelWay


def cancelled(make: Callable[[], Coroutine[Any, Any, Any]], *arguments: Any, **options: Any) -> CancelReport:
    """Cancel everywhere in an event loop of its own."""
    return asyncio.run(cancel_everywhere(make, *arguments, **options))


async def waits_three_times() -> int:
    """Suspend at a bare yield, a future and a timer; an await of what is there already is none."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ready.set_result(None)
    await ready
    await asyncio.sleep(0)
    soon: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(soon.set_result, None)
    await soon
    await asyncio.sleep(0.001)
    return 3


def test_every_suspension_is_hit_in_every_way() -> None:
    """Awaits that wait are points, others are not, and the check is called after each."""
    seen: list[CancelPoint] = []
    report = cancelled(waits_three_times, seen.append)
    assert report.points == dict.fromkeys(CANCEL_WAYS, 3)
    assert (report.total, report.pairs) == (15, 0)
    assert seen == [CancelPoint(way, n, 1 if way == "twice" else None) for way in CANCEL_WAYS for n in (1, 2, 3)]
    assert seen[0].place.startswith("waits_three_times (test_cancelling.py:")


async def cleans_up_in_two_steps() -> None:
    """Wait twice, and wait twice more when that is ended."""
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def test_a_second_cancellation_comes_at_every_suspension_of_the_cleaning_up() -> None:
    """All pairs are tried: here two in cleaning up after each of two points, and one after the first step of it."""
    seen: list[str] = []
    report = cancelled(cleans_up_in_two_steps, lambda point: seen.append(point.id), ways=("twice",))
    assert seen == [
        "twice@1+1", "twice@1+2", "twice@1+3", "twice@2+1", "twice@2+2", "twice@2+3", "twice@3+1", "twice@4+1",
    ]  # fmt: skip
    assert (report.points["twice"], report.pairs) == (4, 4)


def test_one_point_can_be_repeated_by_its_id() -> None:
    """The id in a report repeats exactly that point; one that there is not, or that is none, is refused."""
    seen: list[CancelPoint] = []
    cancelled(cleans_up_in_two_steps, seen.append, only="twice@2+2")
    assert seen == [CancelPoint("twice", 2, 2)]
    with pytest.raises(CancelError, match=r"there is no point once@9"):
        cancelled(cleans_up_in_two_steps, only="once@9")
    with pytest.raises(InvalidArgumentError, match="once@3"):
        cancelled(cleans_up_in_two_steps, only="sometimes")


def test_the_check_may_be_async_and_its_failure_names_the_point() -> None:
    """What the check raises says after which cancellation."""

    async def check(point: CancelPoint) -> None:
        await asyncio.sleep(0)
        assert point.number < 2

    with pytest.raises(AssertionError) as caught:
        cancelled(waits_three_times, check, ways=("timeout",))
    assert [note.partition(", in ")[0] for note in caught.value.__notes__] == [
        "after it was cancelled at suspension point 2 (timeout)",
        "repeat only this one: only='timeout@2'",
    ]


def test_what_never_waits_proves_nothing() -> None:
    """An operation without suspension is refused, with the remedy."""

    async def at_once() -> None:
        pass

    with pytest.raises(CancelError, match=r"never suspended.*TcpProxy"):
        cancelled(at_once)


@pytest.mark.parametrize("way", CANCEL_WAYS)
def test_a_swallowed_cancellation_is_caught(way: CancelWay) -> None:
    """Whoever goes on after a cancellation is named."""

    async def swallow() -> None:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)

    # Of two, the second one gets through where it comes at once, and then it is late.
    with pytest.raises(CancelError, match=r"point 1 .* returned as if nothing had happened"):
        cancelled(swallow, ways=(way,))


def test_a_return_before_a_sibling_could_cancel_is_no_swallowing() -> None:
    """Whoever is done before the group hears of the failed sibling has swallowed nothing."""
    assert cancelled(lambda: asyncio.sleep(0), ways=("sibling",)).total == 1


def test_a_return_may_be_allowed() -> None:
    """Before Python 3.12 `asyncio.wait_for` swallows a cancellation that comes late; whoever uses it says so."""

    async def waited_for() -> None:
        await asyncio.wait_for(asyncio.sleep(0.001), 10)

    assert cancelled(waited_for, may_return=True).points == dict.fromkeys(CANCEL_WAYS, 1)
    if sys.version_info < (3, 12):
        with pytest.raises(CancelError, match="late"):
            cancelled(waited_for)


@pytest.mark.parametrize("way", CANCEL_WAYS)
def test_another_error_is_caught(way: CancelWay) -> None:
    """Whoever turns a cancellation into an error of its own is named, with the error as the cause."""

    async def translate() -> None:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            raise LookupError("gone") from None

    with pytest.raises(CancelError, match=r"point 1 .* raised"):
        cancelled(translate, ways=(way,))


def test_a_hang_is_caught_with_its_place() -> None:
    """An operation that is not over in time is named with the line where it stands."""

    async def never_clean() -> None:
        try:
            await asyncio.sleep(0.01)
        finally:
            await asyncio.Event().wait()  # here it stands

    with pytest.raises(CancelError, match="here it stands"):
        cancelled(never_clean, ways=("once",), patience_seconds=0.1)


def test_an_uncancelled_failure_is_not_hidden() -> None:
    """What fails by itself fails."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("by itself")

    with pytest.raises(LookupError, match="by itself"):
        cancelled(fail, ways=("once",))


class Pool:
    """A pool of one connection. As `hands_over` it gives it to a waiting task directly, and forgets it if that one is
    cancelled at this instant; as `cleans_badly` it gives it back after a failure behind an await that nothing protects.
    """

    def __init__(self, *, hands_over: bool = False, cleans_badly: bool = False) -> None:
        self.idle = 1
        self._hands_over = hands_over
        self._cleans_badly = cleans_badly

    async def use(self) -> None:
        """Take the connection, work, and give it back."""
        await self._take()
        try:
            await asyncio.sleep(0)
        except BaseException:
            if self._cleans_badly:
                await asyncio.sleep(0)
            self.idle += 1
            raise
        self.idle += 1

    async def _take(self) -> None:
        if self._hands_over:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.002, self._give_to, waiter)
            await waiter
        else:
            await asyncio.sleep(0)
            self.idle -= 1

    def _give_to(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.cancelled():
            self.idle -= 1
            waiter.set_result(None)

    def check(self, point: CancelPoint) -> None:
        """No connection is lost."""
        assert self.idle == 1


def ways_that_find(make_pool: Callable[[], Pool]) -> set[CancelWay]:
    """Give the ways of cancelling that lose a connection."""
    found: set[CancelWay] = set()
    for way in CANCEL_WAYS:
        pool = make_pool()
        try:
            cancelled(pool.use, pool.check, ways=(way,))
        except AssertionError:
            found.add(way)
    return found


def test_each_way_finds_a_bug_of_its_own() -> None:
    """A connection handed over to a cancelled task is found only late, an unprotected clean-up only by a second one."""
    assert ways_that_find(Pool) == set()
    assert ways_that_find(lambda: Pool(hands_over=True)) == {"late"}
    assert ways_that_find(lambda: Pool(cleans_badly=True)) == {"twice"}


def test_redis_through_a_slow_network(redis_server: RedisServer, key_prefix: str) -> None:
    """T03 on a real driver: after each cancellation its one connection is there, and the next answer is right."""

    async def play() -> CancelReport:
        with TcpProxy("127.0.0.1", redis_server.port) as proxy:
            proxy.delay_seconds = 0.002
            client = redis.asyncio.Redis.from_url(
                proxy.url_of(redis_server.url), decode_responses=True, max_connections=1
            )

            async def check(point: CancelPoint) -> None:
                assert await client.echo("mine") == "mine"

            try:
                # It uses asyncio.wait_for, which swallows a late cancellation before Python 3.12.
                return await cancel_everywhere(
                    lambda: _incremented(client, f"{key_prefix}:n"), check, prepare=client.ping, may_return=True
                )
            finally:
                await client.aclose()

    report = asyncio.run(play())
    assert min(report.points.values()) >= 1
    assert int(redis_server.command("GET", f"{key_prefix}:n")) >= 5


async def _incremented(client: Any, key: str) -> int:
    return int(await client.incr(key))
