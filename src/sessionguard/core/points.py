"""The no-op hook by which code says: here I reach for something that others share.

A store calls `point` before each access to what other callers can reach, too. As long as no harness is installed that
costs less than 50 ns and does nothing. A test harness (`sessionguard.testing.schedule`) installs itself and decides at
each point who goes on, so that a race happens on demand instead of once a month.

The call stands *before* the access; what follows, up to the next point, is one step that nobody else comes between.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal, TypeVar

from sessionguard.core.commands import Command
from sessionguard.core.reaches import Part, reached
from sessionguard.errors import InvalidArgumentError

__all__ = ["ANSWERS", "Mode", "Part", "apoint", "apoint_of", "areach", "installed", "point", "point_of", "reach"]

S = TypeVar("S")

Mode = Literal["r", "w", "acq", "rel"]
"""Reads, writes, takes a lock, gives a lock back."""

ANSWERS: Final = "answers"
"""The resource of a point at which a server has done what was asked and its caller does not know it yet."""

_MODES: Final = ("r", "w", "acq", "rel", "call", "try")
"""Those, and two of the harness itself: a recorded operation is called, a lock is taken if it is free."""

Hook = Callable[[str, Hashable, str], None]
AsyncHook = Callable[[str, Hashable, str], Awaitable[None]]

_hook: Hook | None = None
_async_hook: AsyncHook | None = None


class _Entry:
    """What one block installed; told from all others by its identity."""

    def __init__(self, hook: Hook | None, async_hook: AsyncHook | None) -> None:
        self.hooks = hook, async_hook


# Each change of the list is one step of the interpreter, so that no lock is needed that a forked child might inherit.
_entries: Final = [_Entry(None, None)]


def point(label: str, resource: Hashable, mode: Mode) -> None:
    """Say that `resource` is accessed next: read ("r"), written ("w"), or, a lock, taken ("acq") or released ("rel").

    `label` is the name by which a person recognises the access, such as "INSERT". Two accesses of one resource of which
    one is a write are taken to depend on each other; all others are not. So `resource` must be equal wherever the same
    thing is reached: a key, a table, a path. A `Part` of something is independent of its other parts, and of the whole
    only if both read.

    Raises:
        InvalidArgumentError: a harness is installed, and there is no such mode; nothing is checked without one.
    """
    if _hook is not None:
        _check(label, mode)
        _hook(label, resource, mode)


async def apoint(label: str, resource: Hashable, mode: Mode) -> None:
    """Say the same in a coroutine, which is suspended here until the harness lets it go on."""
    if _async_hook is not None:
        _check(label, mode)
        await _async_hook(label, resource, mode)


def reach(label: str, place: Hashable, command: Command[Any], mode: Mode | None = None) -> None:
    """Say that `command` reaches for what it is about in `place`: its shard, or all of them.

    `mode` is "r" if this access only reads although the command may write. Nothing is worked out unless somebody
    listens.
    """
    if _hook is not None:
        resource, usual = reached(command, place)
        _hook(label, resource, mode or usual)


async def areach(label: str, place: Hashable, command: Command[Any], mode: Mode | None = None) -> None:
    """Say the same in a coroutine."""
    if _async_hook is not None:
        resource, usual = reached(command, place)
        await _async_hook(label, resource, mode or usual)


def point_of(access: Callable[[S], tuple[str, Hashable, Mode]], subject: S) -> None:
    """Be at the point that `access` gives for `subject`, which is not asked unless somebody listens."""
    if _hook is not None:
        _hook(*access(subject))


async def apoint_of(access: Callable[[S], tuple[str, Hashable, Mode]], subject: S) -> None:
    """Be there in a coroutine."""
    if _async_hook is not None:
        await _async_hook(*access(subject))


@contextmanager
def installed(hook: Hook | None, async_hook: AsyncHook | None = None) -> Iterator[Callable[[], None]]:
    """Let `point` call `hook`, and `apoint` await `async_hook`, in every thread until the block is left.

    Of all blocks that are not left yet, the newest one counts; they may be left in any order, in several threads. What
    the block is given removes its hooks early, from any thread, as often as it is called. A hook is called in threads
    that it does not know, too; it lets those pass.
    """
    entry = _Entry(hook, async_hook)

    def remove() -> None:
        with suppress(ValueError):
            _entries.remove(entry)
        _let_the_newest_listen()

    _entries.append(entry)
    _let_the_newest_listen()
    try:
        yield remove
    finally:
        remove()


def _let_the_newest_listen() -> None:
    global _hook, _async_hook
    newest = None
    # Until nothing has changed meanwhile: else a thread that was slow here would put back what is gone.
    while newest is not _entries[-1]:
        newest = _entries[-1]
        _hook, _async_hook = newest.hooks


def _check(label: str, mode: str) -> None:
    if not label:
        # Replay ids name the places of a race by their labels.
        raise InvalidArgumentError("label", label, "give the access a name by which a person recognises it")
    # A mode that is none would conflict with nothing or with everything, and hide the race.
    if mode not in _MODES:
        remedy = f"point({label!r}, ...) takes a label, a resource, and then a mode: 'r', 'w', 'acq' or 'rel'"
        raise InvalidArgumentError("mode", mode, remedy)
