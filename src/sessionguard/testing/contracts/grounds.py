"""The ground of encounters: connections to the store under test, made ready for one schedule after the other.

A store of one object is made anew for each. Where the sessions outlive it, each schedule has owners of its own instead,
always of the same shards, so that each finds the same files and indexes; and what it leaves is ended, so that the next
one sweeps nothing of it.
"""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any, Final

from sessionguard.core.commands import Identify
from sessionguard.core.driving import Flow, perform, run, run_async
from sessionguard.core.tokens import Mint, shard_tag
from sessionguard.stores.offload import OffloadedStore
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.locating import objects_of
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.contracts.yielding import (
    Called,
    Yields,
    between_calls,
    yields_of,
    yields_of_async,
    yields_of_tasks,
)
from sessionguard.testing.history import History, recorded, recorded_async
from sessionguard.testing.schedule import Scenario
from sessionguard.testing.schedule.io.hearing import seen

_HOME, _AWAY = "a7", "3c"
_NAMES_TO_TRY: Final = 100_000

Part = Callable[[], Flow[Any]]


class Ground(ABC):
    """What schedules are played on. `begin` comes first, then `ask` and `add` for each schedule."""

    def __init__(self, candidate: Candidate, yields: Yields) -> None:
        self._candidate, self._yields = candidate, yields
        self._is_shared = candidate.capabilities.shared
        self._open = ExitStack()
        self._scenario = Scenario()
        self._callers = 0
        self._owners: tuple[str, ...] = ()

    @property
    def yields(self) -> Yields:
        """Where callers are stopped on it."""
        return self._yields

    def __enter__(self) -> "Ground":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the interleaver that fit it."""
        settings: dict[str, Any] = {"patience": self._yields.patience, "lines": self._yields.modules}
        if self._yields.kind == "io":
            # What others left in the same place, or a cache that is full, leads to other accesses the next time.
            settings |= {"io": True, "strategy": "random", "shrink_seconds": 2.0, "must_repeat": False}
        elif self._yields.is_found:
            # All lines depend on each other, so there is no end of schedules, and luck finds more in little time. And
            # what fills a cache, or meets what others left in the same place, comes to other lines the next time.
            settings |= {"strategy": "random", "shrink_seconds": 2.0, "must_repeat": False}
        return settings

    def begin(self, scenario: Scenario) -> tuple[Stage, str, str]:
        """Make all ready for one schedule; give what makes commands, and two owners who have no session."""
        self._scenario, self._callers = scenario, 0
        self._connect()
        stage = Stage(self._ask(perform(Identify())), mint=Mint(_drawn))
        # The last schedule may have come to no end.
        self.clear(stage)
        self._owners = self._new_owners(stage)
        return stage, *self._owners

    def clear(self, stage: Stage | None = None) -> None:
        """End what is left of a schedule that came to no end, for others meet it in the same place."""
        if self._is_shared and self._owners:
            stage = stage or Stage(self._ask(perform(Identify())), mint=Mint(_drawn))
            for owner in self._owners:
                self._ask(perform(stage.end_owner(owner)))
        self.settle()

    def _new_owners(self, stage: Stage) -> tuple[str, str]:
        if self._is_shared:
            return _found(_HOME, stage, _new_name), _found(_AWAY, stage, stage.mint.anonymous_owner)
        owner = _new_name()
        return owner, stage.visitors(owner, 1)[0]

    def settle(self) -> None:
        """Take note that nothing is left of this schedule."""
        self._owners = ()

    def ask(self, flow: Flow[Any], history: History) -> Any:
        """Play a flow before the callers come or after they have gone; what it asks is recorded."""
        return self._ask(flow, history)

    def play(self, scenario: Scenario) -> None:
        """Play the callers of a scenario one after the other, with nobody deciding anything."""

        async def all_of_them() -> None:
            for worker in scenario.workers:
                await worker.play_async()

        asyncio.run(all_of_them())

    @abstractmethod
    def add(self, name: str, parts: Sequence[Part]) -> None:
        """Add one caller to the scenario."""

    @abstractmethod
    def _connect(self) -> None: ...

    @abstractmethod
    def _ask(self, flow: Flow[Any], history: History | None = None) -> Any: ...

    def _new_caller(self) -> int:
        self._callers += 1
        return self._callers - 1


class _OfBlocking(Ground):
    """Blocking connections: two of one place, or one for which there is no other."""

    _stores: Sequence[Any] = ()

    def _connect(self) -> None:
        if self._is_shared and self._stores:
            return
        self._open.close()
        with seen() if self._yields.kind == "io" else nullcontext():
            self._stores = [self._candidate.blocking() for _ in range(2 if self._is_shared else 1)]
        for store in self._stores:
            self._open.callback(store.close)

    def _store_of(self, caller: int) -> Any:
        return self._stores[caller % len(self._stores)]

    def _ask(self, flow: Flow[Any], history: History | None = None) -> Any:
        store = self._stores[0]
        return run(flow, store if history is None else recorded(store, history, "before and after"))


class _Threads(_OfBlocking):
    """Callers in threads."""

    def _connect(self) -> None:
        super()._connect()
        if self._yields.kind in ("lines", "io"):
            # Parked at a line, or before a statement, a caller may hold one of them.
            self._scenario.adopt(*(part for store in self._stores for part in objects_of(store)))

    def add(self, name: str, parts: Sequence[Part]) -> None:
        store = self._yields.around(self._store_of(self._new_caller()))
        asked = recorded(store, self._scenario.history, name)
        self._scenario.worker(name, *[lambda part=part: run(part(), asked) for part in parts])


class _Tasks(_OfBlocking):
    """Callers in tasks, off-loaded without a thread: the virtual loop has no place for one."""

    def add(self, name: str, parts: Sequence[Part]) -> None:
        asked = Called(recorded_async(_Inline(self._store_of(self._new_caller())), self._scenario.history, name))
        self._scenario.task(name, *[lambda part=part: run_async(part(), asked) for part in parts])


class _Inline(OffloadedStore):
    """Calls that would be made in a thread are made at once."""

    async def _in_thread(self, call: Callable[[], Any], executor: Any) -> Any:
        return call()


class _TasksWithSockets(Ground):
    """Callers in tasks of a real loop, which share one async store; it is theirs for one schedule."""

    @property
    def settings(self) -> dict[str, Any]:
        """A real loop, because there are real sockets; what they do is not decided, so nothing is proved."""
        return {"loop": "asyncio", "strategy": "random", "io": self._yields.kind == "io"}

    def _connect(self) -> None:
        self._store = self._candidate.asynchronous()
        self._asked = self._yields.around_async(self._store)

    def add(self, name: str, parts: Sequence[Part]) -> None:
        self._new_caller()
        asked = Called(recorded_async(self._asked, self._scenario.history, name))
        store, scenario = self._store, self._scenario

        async def play() -> None:
            try:
                for part in parts:
                    await run_async(part(), asked)
            finally:
                self._callers -= 1
                if not self._callers and scenario is self._scenario:
                    # Here, because it is of this loop.
                    await store.close()

        scenario.task(name, play)

    def _ask(self, flow: Flow[Any], history: History | None = None) -> Any:
        return asyncio.run(self._ask_apart(flow, history))

    async def _ask_apart(self, flow: Flow[Any], history: History | None) -> Any:
        store = self._candidate.asynchronous()
        try:
            return await run_async(flow, store if history is None else recorded_async(store, history, "beside"))
        finally:
            await store.close()


def blocking_ground(candidate: Candidate) -> Ground:
    """Give the ground for callers in threads."""
    return _Threads(candidate, yields_of(candidate.blocking, candidate.yields))


def ground_between_calls(candidate: Candidate, why: str) -> Ground:
    """Give the ground for callers in threads that are stopped between their calls only."""
    return _Threads(candidate, between_calls(why))


def task_ground(candidate: Candidate) -> Ground:
    """Give the ground for callers in tasks."""
    if candidate.own_async is None:
        return _Tasks(candidate, yields_of_tasks(candidate.blocking))
    return _TasksWithSockets(candidate, yields_of_async(candidate.asynchronous))


def _new_name() -> str:
    return f"ana-{secrets.token_hex(6)}"


def _drawn(count: int) -> bytes:
    # Where the answer to an operation is kept may depend on how its id begins.
    return b"\x5e" + secrets.token_bytes(count - 1)


def _found(shard: str, stage: Stage, draw: Callable[[], str]) -> str:
    """Give an owner whose sessions are of this shard."""
    drawn = (draw() for _ in range(_NAMES_TO_TRY))
    # Past the cache of it: these are never asked for again.
    return next(name for name in drawn if shard_tag.__wrapped__(stage.deployment_id, name) == shard)
