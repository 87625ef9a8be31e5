"""Small random programs of tasks, with the ways in which tasks wait for each other that nobody declares."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import frozen

from sessionguard.core.points import apoint
from sessionguard.testing.schedule import Scenario

Verb = tuple[str, str]


@frozen
class AsyncProgram:
    """For each task its verbs: read, write, sleep, wait for an event, set it, take a lock, start others, and so on."""

    tasks: tuple[tuple[Verb, ...], ...]
    outcomes: set[Any]

    def build(self, s: Scenario) -> None:
        """Set it up as a scenario that adds what came out to `outcomes`."""
        play = _Play()
        for number, verbs in enumerate(self.tasks):
            s.task(f"t{number}", lambda number=number, verbs=verbs: play.play(number, verbs))  # type: ignore[misc]
        s.check(lambda history: self.outcomes.add(play.seen()))


class _Play:
    def __init__(self) -> None:
        self._memory: dict[str, int] = {}
        self._reads: list[tuple[int, int]] = []
        self._written: dict[int, int] = {}
        self._lock, self._event = asyncio.Lock(), asyncio.Event()
        self._seat, self._queue = asyncio.Semaphore(1), asyncio.Queue[int]()
        self._verbs: dict[str, Callable[[int, str], Awaitable[None]]] = {
            "r": self._read,
            "w": self._write,
            "sleep": self._sleep,
            "set": self._set,
            "wait": self._wait,
            "locked": self._locked,
            "both": self._both,
            "hurry": self._hurry,
            "drop": self._drop,
            "timed": self._timed,
            "seated": self._seated,
            "put": self._put,
            "get": self._get,
            "child": self._child,
            "look": self._look,
        }

    def seen(self) -> Any:
        """Give what each task read, and what is left."""
        return tuple(sorted(self._reads, key=lambda read: read[0])), tuple(sorted(self._memory.items()))

    async def play(self, number: int, verbs: Sequence[Verb]) -> None:
        for verb, argument in verbs:
            await self._verbs[verb](number, argument)

    async def _read(self, number: int, name: str) -> None:
        await apoint(f"read {name}", name, "r")
        self._reads.append((number, self._memory.get(name, 0)))

    async def _write(self, number: int, name: str) -> None:
        await apoint(f"write {name}", name, "w")
        # How often it has written itself, and not how much anyone else has done: nothing is shared undeclared.
        self._written[number] = self._written.get(number, 0) + 1
        self._memory[name] = number * 10 + self._written[number]

    async def _sleep(self, number: int, seconds: str) -> None:
        await asyncio.sleep(float(seconds))

    async def _set(self, number: int, name: str) -> None:
        self._event.set()

    async def _wait(self, number: int, name: str) -> None:
        try:
            async with asyncio.timeout(5):
                await self._event.wait()
        except TimeoutError:
            self._reads.append((number, -1))

    async def _locked(self, number: int, name: str) -> None:
        async with self._lock:
            await self._read(number, name)
            await self._write(number, name)

    async def _both(self, number: int, name: str) -> None:
        await asyncio.gather(self._write(number, name), self._read(number, name))

    async def _hurry(self, number: int, name: str) -> None:
        try:
            async with asyncio.timeout(1):
                await self._write(number, name)
        except TimeoutError:
            self._reads.append((number, -2))

    async def _timed(self, number: int, name: str) -> None:
        try:
            async with asyncio.timeout(0.7):
                await self._write(number, name)
                await self._read(number, "y" if name == "x" else "x")
        except TimeoutError:
            self._reads.append((number, -3))

    async def _seated(self, number: int, name: str) -> None:
        async with self._seat:
            await self._write(number, name)

    async def _put(self, number: int, name: str) -> None:
        await apoint("put", "none", "r")
        self._queue.put_nowait(number)

    async def _get(self, number: int, name: str) -> None:
        try:
            self._reads.append((number, await asyncio.wait_for(self._queue.get(), 0.5)))
        except TimeoutError:
            self._reads.append((number, -4))

    async def _child(self, number: int, name: str) -> None:
        child = asyncio.create_task(self._write(number, name))
        await self._read(number, "y" if name == "x" else "x")
        await child

    async def _look(self, number: int, name: str) -> None:
        self._reads.append((number, int(self._event.is_set())))

    async def _drop(self, number: int, name: str) -> None:
        child = asyncio.create_task(self._write_or_read(number, name))
        await apoint("drop", "none", "r")
        child.cancel()
        await asyncio.wait([child])

    async def _write_or_read(self, number: int, name: str) -> None:
        try:
            await self._write(number, name)
        except asyncio.CancelledError:
            await self._read(number, "y" if name == "x" else "x")


def random_async_program(luck: random.Random) -> AsyncProgram:
    """Give two or three tasks with two or one verbs each."""
    count = luck.choice((2, 2, 3))
    verbs = ("r", "w", "r", "w", "sleep", "set", "wait", "locked", "both", "hurry", "drop")
    return AsyncProgram(
        tuple(
            tuple((verb, luck.choice("13") if verb == "sleep" else luck.choice("xy")) for verb in chosen)
            for chosen in (luck.choices(verbs, k=luck.choice((1, 2)) if count == 2 else 1) for _ in range(count))
        ),
        set(),
    )


_TIMED = ("timed", "timed", "r", "w", "sleep", "set", "wait", "seated", "put", "get", "child", "look", "drop")


def random_timed_program(luck: random.Random) -> AsyncProgram:
    """Give two or three tasks with up to three verbs each, most of them with time limits; some are large."""
    count = luck.choice((2, 2, 3))
    return AsyncProgram(
        tuple(
            tuple((verb, luck.choice("13") if verb == "sleep" else luck.choice("xy")) for verb in chosen)
            for chosen in (luck.choices(_TIMED, k=luck.randint(1, 3 if count == 2 else 2)) for _ in range(count))
        ),
        set(),
    )
