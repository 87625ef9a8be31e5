"""The cancel sweep: the same client serves two others after every cancellation; broken clients are found and named."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from sessionguard.errors import MisuseError
from sessionguard.testing import CancelError, CancelPoint, CancelReport, cancel_everywhere
from sessionguard.testing.faults import cancelling
from sessionguard.testing.faults.cancelling import CancelWay, MakeCoroutine
from sessionguard.testing.history import History, HistoryError, Model, Operation
from sessionguard.testing.sweeps import CrossedReplyError, LeakError, Other, SweepError, cancel_sweep
from tests.testing.sweeps.clients import AsyncClient, slow_server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a slow server."""
    with slow_server() as port:
        yield port


def others_of(client: AsyncClient) -> list[Other]:
    """Give bob and carol."""
    return [Other("bob", lambda: client.get("bob"), "BOB"), Other("carol", lambda: client.get("carol"), "CAROL")]


def swept(client: AsyncClient, operation: MakeCoroutine | None = None, **settings: Any) -> CancelReport:
    """Sweep alice's question, or another operation."""
    ask = operation or (lambda: client.get("alice"))

    async def play() -> CancelReport:
        try:
            return await cancel_sweep(ask, others_of(client), in_use=lambda: client.lent, **settings)
        finally:
            await client.close()

    return asyncio.run(play())


def test_a_right_client_is_well_after_every_cancellation(port: int) -> None:
    """Every await of reading, and of closing and connecting, is a point, and nothing is wrong after any."""
    assert set(swept(AsyncClient(port)).points.values()) == {1}
    client = AsyncClient(port)

    async def connect_again() -> None:
        await client.close()
        await client.get("alice")

    assert min(swept(client, operation=connect_again).points.values()) >= 3


def test_a_client_that_cleans_up_in_steps_is_cancelled_in_them_as_well(port: int) -> None:
    """What is cancelled while it cleans up is cancelled at every step of that."""
    assert swept(AsyncClient(port, waits_when_closing=True)).pairs >= 2


def test_mutant_12_a_foreign_reply_is_found_and_repeated(port: int) -> None:
    """A client that forgets to close on cancellation gives bob what alice asked for; the report says where."""
    with pytest.raises(CrossedReplyError, match=r"bob read 'ALICE' instead of 'BOB'") as caught:
        swept(AsyncClient(port, forgets_to_close=True))
    where, how = caught.value.__notes__
    assert where.startswith("after it was cancelled at suspension point 1 (once), in AsyncClient.get (clients.py:")
    assert how == "repeat only this one: only='once@1'"
    with pytest.raises(CrossedReplyError):
        swept(AsyncClient(port, forgets_to_close=True), only="once@1")


def test_a_connection_that_is_never_given_back_is_found(port: int) -> None:
    """What the client counts as lent must be given back."""
    with pytest.raises(LeakError, match=r"in use: 1, and 0 before"):
        swept(AsyncClient(port, forgets_to_give_back=True), settle_seconds=0.05)


def test_a_descriptor_that_stays_open_is_found(port: int) -> None:
    """A connection that is dropped without being closed is seen by its descriptor, which nobody has to count."""
    dropped = []

    async def play() -> None:
        client = AsyncClient(port)

        async def operation() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            dropped.append(writer)
            await asyncio.sleep(0)
            dropped.pop().close()

        try:
            await cancel_sweep(operation, others_of(client), settle_seconds=0.05)
        finally:
            await client.close()
            for writer in dropped:
                writer.close()
                await writer.wait_closed()

    with pytest.raises(LeakError, match="open descriptors"):
        asyncio.run(play())


def test_a_task_that_is_left_is_found(port: int) -> None:
    """What goes on in the background after a cancellation is named."""

    async def play() -> None:
        client = AsyncClient(port)

        async def operation() -> None:
            await asyncio.shield(asyncio.create_task(asyncio.Event().wait()) if started else asyncio.sleep(0))

        started: list[int] = []
        asyncio.get_running_loop().call_soon(started.append, 1)
        try:
            await operation()
            started.clear()
            await cancel_sweep(_starting_later(operation, started), others_of(client), settle_seconds=0.05)
        finally:
            await client.close()

    with pytest.raises(LeakError, match=r"a task was left: .*Event.wait"):
        asyncio.run(play())


def _starting_later(operation: Callable[[], Any], started: list[int]) -> Callable[[], Any]:
    """Give the operation, which works the first time and leaves a task behind from then on."""

    async def play() -> None:
        await operation()
        started.append(1)

    return play


class Register(Model[int]):
    """One number: written, and read as it was written last."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Operation) -> list[int]:
        if operation.name == "write":
            return [operation.args["number"]]
        return [state] if operation.result == state or operation.outcome == "info" else []


@pytest.mark.parametrize("is_late", [False, True])
def test_a_history_that_is_not_legal_is_found(port: int, is_late: bool) -> None:
    """A cancelled write may count or not; one that others have seen and that is gone again is illegal."""
    history, number, stored = History(), 0, 0

    async def write() -> None:
        nonlocal number, stored
        number += 1
        with history.record("writer", "write", number=number) as recording:
            before, stored = stored, number
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                read("another")
                if is_late:
                    stored = before
                raise
            recording.ok()

    def read(client: str) -> None:
        with history.record(client, "read") as recording:
            recording.ok(stored)

    async def play() -> None:
        client = AsyncClient(port)
        try:
            await cancel_sweep(
                write, others_of(client), history=history, model=Register, check=lambda point: read("reader")
            )
        finally:
            await client.close()

    if is_late:
        with pytest.raises(HistoryError, match="no order explains what reader was told"):
            asyncio.run(play())
    else:
        asyncio.run(play())


@pytest.mark.parametrize("forgets_the_old_one", [False, True])
def test_a_task_that_takes_the_place_of_another_is_no_leak(forgets_the_old_one: bool) -> None:
    """A client that ends its reader and starts another one has as many tasks as before; who only starts has not."""
    readers: list[asyncio.Task[Any]] = []

    async def ask(key: str) -> str:
        if not readers:
            readers.append(asyncio.create_task(asyncio.Event().wait()))
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            reader = readers.pop()
            if forgets_the_old_one:
                forgotten.append(reader)
            else:
                reader.cancel()
            raise
        return key

    forgotten: list[asyncio.Task[Any]] = []
    others = [Other(key, partial(ask, key), key) for key in ("bob", "carol")]
    if forgets_the_old_one:
        with pytest.raises(LeakError, match=r"a task was left: .*Event.wait"):
            asyncio.run(cancel_sweep(lambda: ask("alice"), others, settle_seconds=0.1))
    else:
        assert asyncio.run(cancel_sweep(lambda: ask("alice"), others, settle_seconds=0.1)).total == 5


class Rows:
    """Creates what is not there, in steps, and leaves half of it if it is cancelled in the middle."""

    def __init__(self) -> None:
        self.whole, self.half = {"bob", "carol"}, set[str]()

    async def get_or_create(self, key: str) -> str:
        await asyncio.sleep(0)
        if key not in self.whole:
            self.half.add(key)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.whole.add(key)
            self.half.remove(key)
        return key


@pytest.mark.parametrize("is_prepared", [False, True])
def test_an_operation_that_does_less_the_second_time_is_told(is_prepared: bool) -> None:
    """What is only created once would be cancelled nowhere in its creation; with `prepare` it is, and the bug found."""
    rows = Rows()
    others = [Other(key, partial(rows.get_or_create, key), key) for key in ("bob", "carol")]

    def nothing_is_half_there(point: CancelPoint) -> None:
        assert not rows.half, f"half there: {point}"

    async def forget() -> None:
        rows.whole.discard("alice")

    async def play() -> None:
        prepare = forget if is_prepared else lambda: None
        await cancel_sweep(lambda: rows.get_or_create("alice"), others, check=nothing_is_half_there, prepare=prepare)

    if is_prepared:
        with pytest.raises(AssertionError, match=r"half there: cancelled at suspension point 2 \(once\)"):
            asyncio.run(play())
    else:
        with pytest.raises(
            CancelError, match=r"it came to 3 suspensions, and to 1 after .* number 1 \(once\).*prepare="
        ):
            asyncio.run(play())


def test_a_pool_that_fills_up_is_no_difference(port: int) -> None:
    """The first run may connect in an app, too: the others are asked before it is counted."""
    assert set(swept(AsyncClient(port)).points.values()) == {1}


def test_an_operation_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that has struck as often as it may fails: it has not seen the end."""
    monkeypatch.setattr(cancelling, "LIMIT", 20)
    counts = itertools.count(1)

    async def longer_each_time() -> None:
        for _ in range(next(counts)):
            await asyncio.sleep(0)

    with pytest.raises(CancelError, match=r"after 20 cancellations \(once\) there is still another"):
        asyncio.run(cancel_everywhere(longer_each_time))


@pytest.mark.parametrize("ways", [(), ("once", "once")])
def test_no_way_to_cancel_and_one_twice_are_refused(ways: tuple[CancelWay, ...]) -> None:
    """They would cancel nothing, or tell half of what was done."""
    with pytest.raises(MisuseError, match="at least one way, and none twice"):
        asyncio.run(cancel_everywhere(lambda: asyncio.sleep(0), ways=ways))


def test_others_must_be_able_to_show_a_mistake(port: int) -> None:
    """One other, or two with the same answer, prove nothing; nor does a history that nobody judges."""

    async def play(others: list[Other], **settings: Any) -> None:
        await cancel_sweep(lambda: asyncio.sleep(0), others, **settings)

    bob = Other("bob", lambda: "BOB", "BOB")
    for others in ([bob], [bob, bob]):
        with pytest.raises(MisuseError, match="at least two others"):
            asyncio.run(play(others))
    with pytest.raises(MisuseError, match="both history and model"):
        asyncio.run(play([bob, Other("carol", lambda: "CAROL", "CAROL")], history=History()))


def test_others_who_wait_for_ever_are_named() -> None:
    """Whoever is not answered in time is named."""

    async def play() -> None:
        waiting = Other("bob", lambda: asyncio.Event().wait(), True)
        await cancel_sweep(lambda: asyncio.sleep(0), [waiting, Other("carol", str, "")], patience_seconds=0.05)

    with pytest.raises(SweepError, match=r"bob was not answered within 0.05 s"):
        asyncio.run(play())
