"""T03 on the guard with every store: every call, cancelled at every await, is done or not, and serves others right."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from sessionguard import AsyncSessionGuard, Session, open_store
from sessionguard.core.leases import FindLease
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.stores.contract import AsyncStore, AsyncTwin, Store
from sessionguard.stores.offload import OffloadedStore
from sessionguard.testing import CancelError, CancelPoint, VirtualClock
from sessionguard.testing.history import History, SessionModel, recorded_async
from sessionguard.testing.sweeps import Other, cancel_sweep
from tests.testing.sweeps.guarded import STORES, Place, canary, place_of

Calls = Mapping[str, Callable[[], Coroutine[Any, Any, Any]]]

IN_USE: Mapping[str, Callable[[Any], int]] = {
    "redis": lambda store: sum(len(pool) - len(pool.idle) for pool in store.pools),
    "postgres": lambda store: store._connections.open_count - len(store._connections._pool().idle),
}


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each store in turn."""
    with place_of(request.param, tmp_path, request) as place:
        yield place


def opened(place: Place) -> AsyncStore:
    """Open the store as an async guard would."""
    store = open_store(place.url)
    return store.as_async() if isinstance(store, AsyncTwin) else OffloadedStore(cast("Store", store))


def calls_of(guard: AsyncSessionGuard, ana: Session, name: str, held: list[str]) -> Calls:
    """Give every call that waits for the store or for files; those that make something make something new each time."""
    fresh = itertools.count()
    token = ana.token
    assert token is not None

    async def write() -> None:
        async with guard.workspace(ana) as workspace:
            await workspace.write("text", "new")

    async def end() -> None:
        await guard.end(await guard.create(name))

    async def hold() -> None:
        # Another session each time: of one that may or may not have been held by so many, no history can be judged.
        session = await guard.create(name)
        held.append(session.id)
        async with guard.hold(session):
            await asyncio.sleep(0)

    async def lock() -> None:
        # Another one each time: one whose release was cancelled is held until its lease ends, and this clock stands.
        async with guard.lock(ana, f"work {next(fresh)}"):
            await asyncio.sleep(0)

    return {
        # One owner: the first call to a shard of Redis takes more round trips than those after it.
        "get_or_create": lambda: guard.get_or_create(name, external_id=f"tab-{next(fresh)}"),
        "get_or_create again": lambda: guard.get_or_create(ana.owner),
        "create": lambda: guard.create(name),
        "replace": lambda: guard.replace(name, external_id="tab"),
        "load": lambda: guard.load(token),
        "save": lambda: guard.save(ana, {"n": next(fresh)}),
        "modify": lambda: guard.modify(ana, lambda data: data.__setitem__("m", next(fresh))),
        "touch": lambda: guard.touch(ana),
        "end": end,
        "sweep": guard.sweep,
        "hold": hold,
        "lock": lock,
        "workspace": write,
    }


CALLS = (
    "get_or_create", "get_or_create again", "create", "replace", "load", "save", "modify", "touch", "end", "sweep",
    "hold", "lock", "workspace",
)  # fmt: skip

ATTEMPTS = 4
"""Replies that a server sends one after the other arrive in as many reads as they please, and each is a suspension."""


async def sweep_every_call(place: Place, folder: Path) -> dict[str, int]:
    """Give how many cancellations each call had."""
    store, clock = opened(place), VirtualClock()
    async with AsyncSessionGuard(store, clock=clock, sweep_interval=None) as guard:
        others = [await other(guard, name) for name in ("bea", "cy")]
        counts = {name: await sweep_call(name, place, store, clock, folder, others) for name in CALLS}
    await store.close()
    return counts


async def sweep_call(
    name: str, place: Place, store: AsyncStore, clock: VirtualClock, folder: Path, others: list[Other]
) -> int:
    """Give how many cancellations this call had, with a history and an owner of its own; 0 if it never waits."""
    history = History()
    guard = AsyncSessionGuard(recorded_async(store, history, name), folder, clock=clock, sweep_interval=None)
    async with guard:
        ana = await guard.get_or_create(f"ana for {name}", data={"canary": "ana"})
        held = [ana.id]
        call = calls_of(guard, ana, name, held)[name]

        async def nobody_holds(_: CancelPoint) -> None:
            # Over a network what was cancelled may come after what gives it back; nothing renews it then.
            late = timedelta(seconds=LEASE_SECONDS if place.has_network else 0)
            for session_id in (ana.id, held[-1]):
                until = await cast("Any", store).leased_until(FindLease(session_id, clock() + late))
                assert until is None, f"{name} leaves a lease"

        # Only the first one makes folders and loads scripts, and only the fifth prepares statements, on each of the
        # two connections of the pool: two at a time meet both.
        for _ in range(6):
            await asyncio.gather(call(), call())
        for attempts_left in reversed(range(ATTEMPTS if place.has_network and name == "sweep" else 1)):
            try:
                report = await cancel_sweep(
                    call,
                    others,
                    in_use=lambda: IN_USE.get(place.kind, lambda store: 0)(store),
                    history=history,
                    model=SessionModel,
                    check=nobody_holds,
                    # A connection with its two files for each thread that meets the database.
                    descriptors=8 if place.kind == "sqlite" else 0,
                )
            except CancelError as error:
                if "never suspended" in str(error):
                    return 0
                if not attempts_left or "not the same each time" not in str(error):
                    raise AssertionError(name) from error
            else:
                break
        return report.total + report.pairs


async def other(guard: AsyncSessionGuard, name: str) -> Other:
    """Give somebody with a session, who asks for it by its token."""
    session = await guard.get_or_create(name, data={"canary": name})

    async def ask() -> object:
        return canary(await guard.load(str(session.token)))

    return Other(name, ask, (name, name))


def test_t03_every_call_of_the_guard(place: Place, tmp_path: Path) -> None:
    """After each cancellation two others are served right, nothing is lent or left, and the history is legal."""
    counts = asyncio.run(sweep_every_call(place, tmp_path / "workspaces"))
    # What lies in memory is answered at once, as are reads of a file on this host: nothing to be cancelled at.
    waits = {name for name, count in counts.items() if count}
    assert "workspace" in waits
    if place.kind != "memory":
        assert {"get_or_create", "create", "save", "modify", "touch", "end", "hold", "lock"} <= waits
    if place.has_network:
        assert waits == set(counts)
