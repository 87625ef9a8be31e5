"""What asyncio's own locks, events and queues share, declared: tasks meet in them without any point of their own."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final

from sessionguard.core.points import point

_RESOURCE: Final = "(asyncio)"
"""One for all of them: which object it is, is not the same in every schedule."""

_METHODS: Final[dict[type[Any], tuple[str, ...]]] = {
    asyncio.Lock: ("acquire", "release", "locked"),
    asyncio.Event: ("is_set", "set", "clear", "wait"),
    asyncio.Semaphore: ("acquire", "release", "locked"),
    asyncio.Condition: ("wait", "notify"),
    asyncio.Queue: ("get", "put", "get_nowait", "put_nowait", "qsize", "empty", "full"),
}


def _declaring(label: str, method: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(method):
        # A wait that ends, also by cancellation, takes itself out of the queue of those who wait.
        @wraps(method)
        async def declare_both_ends(*args: Any, **kwargs: Any) -> Any:
            point(label, _RESOURCE, "w")
            try:
                return await method(*args, **kwargs)
            finally:
                point(label, _RESOURCE, "w")

        return declare_both_ends

    @wraps(method)
    def declare(*args: Any, **kwargs: Any) -> Any:
        point(label, _RESOURCE, "w")
        return method(*args, **kwargs)

    return declare


_ORIGINALS: Final = [(owner, name, getattr(owner, name)) for owner, names in _METHODS.items() for name in names]
_DECLARING: Final = [(owner, name, _declaring(f"{owner.__name__}.{name}", each)) for owner, name, each in _ORIGINALS]


@contextmanager
def declared() -> Iterator[None]:
    """Let every use of them be a declared access until the block is left."""
    for owner, name, method in _DECLARING:
        setattr(owner, name, method)
    try:
        yield
    finally:
        for owner, name, method in _ORIGINALS:
            setattr(owner, name, method)
