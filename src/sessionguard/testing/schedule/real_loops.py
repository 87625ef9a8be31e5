"""Real event loops behind one face: asyncio, uvloop and trio, as far as gate mode needs them."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Final, Protocol

from sessionguard.errors import InvalidArgumentError

Main = Callable[["RealLoop"], Awaitable[None]]
NAMES: Final = ("asyncio", "uvloop", "trio")


class Signal(Protocol):
    """An event that is set once."""

    def set(self) -> None:
        """Let go on whoever waits for it."""

    def is_set(self) -> bool:
        """Whether that was done."""

    async def wait(self) -> Any:
        """Wait until it is set."""


class RealLoop(Protocol):
    """A loop that is running."""

    def current_task(self) -> object:
        """Give the task that asks."""

    def signal(self) -> Signal:
        """Give a new event."""

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        """Start a task."""

    async def wait(self, signal: Signal, seconds: float) -> None:
        """Wait until the event is set, at most so long."""

    async def breathe(self) -> None:
        """Let every task run that is ready."""


def run(name: str, main: Main) -> None:
    """Run `main` on the loop of that name; tasks that are left when it returns are cancelled.

    Raises:
        InvalidArgumentError: there is no such loop.
        ImportError: its package is not installed.
    """
    if name == "trio":
        _OnTrio(import_module("trio")).run(main)
    elif name in NAMES:
        factory = None if name == "asyncio" else import_module(name).new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_OnAsyncio().run(main))
    else:
        raise InvalidArgumentError("loop", name, f"give 'virtual' or one of {', '.join(NAMES)}")


class _OnAsyncio:
    """asyncio, whatever makes the loop."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, main: Main) -> None:
        try:
            await main(self)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def current_task(self) -> object:
        return asyncio.current_task()

    def signal(self) -> Signal:
        return asyncio.Event()

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        async def play() -> None:
            await function(*args)

        self._tasks.append(asyncio.create_task(play()))

    async def wait(self, signal: Signal, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await signal.wait()
        except TimeoutError:
            return

    async def breathe(self) -> None:
        await asyncio.sleep(0)


class _OnTrio:
    """trio, which anyio may run on, too."""

    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._nursery: Any = None

    def run(self, main: Main) -> None:
        async def everything() -> None:
            async with self._trio.open_nursery() as self._nursery:
                await main(self)
                self._nursery.cancel_scope.cancel()

        self._trio.run(everything)

    def current_task(self) -> object:
        return self._trio.lowlevel.current_task()

    def signal(self) -> Signal:
        event: Signal = self._trio.Event()
        return event

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        self._nursery.start_soon(function, *args)

    async def wait(self, signal: Signal, seconds: float) -> None:
        with self._trio.move_on_after(seconds):
            await signal.wait()

    async def breathe(self) -> None:
        await self._trio.sleep(0)
