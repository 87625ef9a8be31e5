"""A blocking face of an async guard, so that one text plays both."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from contextvars import copy_context
from types import TracebackType
from typing import Any, TypeVar

R = TypeVar("R")


class Loops:
    """An event loop for each thread, because an async guard may be used from several loops, too."""

    def __init__(self) -> None:
        self._runners: dict[int, asyncio.Runner] = {}

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Give what the coroutine returns, in the loop of this thread."""
        me = threading.get_ident()
        if me not in self._runners:
            self._runners[me] = asyncio.Runner()
        # The context of now: a runner would go on with that of its first use.
        return self._runners[me].run(coroutine, context=copy_context())

    def close(self) -> None:
        """Close all loops; none is running."""
        while self._runners:
            self._runners.popitem()[1].close()


class Awaited:
    """An async object whose calls, blocks and iterations are awaited in a loop of their own."""

    def __init__(self, target: Any, loop: Loops | asyncio.Runner) -> None:
        self._target, self._loop = target, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value) or name.startswith("_"):
            return value
        return lambda *args, **options: self._finished(value(*args, **options))

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

    def _finished(self, result: Any) -> Any:
        if inspect.isawaitable(result):
            result = self._loop.run(_waited_for(result))
        return type(self)(result, self._loop) if _is_async(result) else result


async def _waited_for(awaitable: Awaitable[R]) -> R:
    return await awaitable


def _is_async(result: object) -> bool:
    return any(hasattr(result, name) for name in ("__aenter__", "__aiter__"))


def blocking(guard: Any, loops: Loops) -> Any:
    """Give the guard, or a blocking face of it if it is async."""
    return Awaited(guard, loops) if _is_async(guard) else guard
