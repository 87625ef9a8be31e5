"""Drives an async guard by blocking calls, so that one text tests both guards."""

import asyncio
import inspect
from collections.abc import Awaitable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

R = TypeVar("R")


class Awaited:
    """An async object whose calls, blocks and iterations are awaited in an event loop of the test's own."""

    def __init__(self, target: Any, runner: asyncio.Runner) -> None:
        self._target = target
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        return self._blocking(getattr(self._target, name))

    def __enter__(self) -> Any:
        entered = self._finished(self._target.__aenter__())
        return self if entered is self._target else entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        suppressed: bool | None = self._finished(self._target.__aexit__(kind, error, traceback))
        return suppressed

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                yield self._finished(anext(self._target))
            except StopAsyncIteration:
                return

    def __next__(self) -> Any:
        try:
            return self._finished(anext(self._target))
        except StopAsyncIteration:
            raise StopIteration from None

    def _blocking(self, value: Any) -> Any:
        if not callable(value):
            return value
        return lambda *args, **options: self._finished(value(*args, **options))

    def _finished(self, result: Any) -> Any:
        if inspect.isawaitable(result):
            result = self._runner.run(_waited_for(result))
        return type(self)(result, self._runner) if _is_async(result) else result

    def awaited(self) -> Self:
        """Let everything happen that is ready to happen in the loop."""
        self._runner.run(asyncio.sleep(0))
        return self


async def _waited_for(awaitable: Awaitable[R]) -> R:
    return await awaitable


def _is_async(result: object) -> bool:
    return hasattr(result, "__aenter__") or hasattr(result, "__anext__")
