"""Where a call can be interrupted: before and after each command to the store or to the files, and at declared points.

What was done until then is known, command by command, so that the model can go on from there. Each command is a point
of its own, too, so that other callers can come between the commands of one call whatever the store declares.
"""

import inspect
from collections.abc import Awaitable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final

from sessionguard.core import points
from sessionguard.core.points import apoint, point

_STORE_VERBS: Final = frozenset(
    (
        "create", "get_or_create", "replace", "load", "get", "save", "touch", "rotate", "end",
        "end_owner", "sweep", "purge", "page", "acquire_lock", "renew_lock", "release_lock",
        "hold_lease", "release_lease", "leased_until",
    )
)  # fmt: skip
_FILE_VERBS: Final = frozenset(("remove", "quarantine", "candidates"))
_STORE: Final = "(store)"
_watching: ContextVar[list[tuple[Any, Any]] | None] = ContextVar("watching", default=None)


class Interruption(BaseException):
    """The process is stopped here; no part of the program may take it for an error of its own."""


class Trap:
    """Interrupts one call, at a place that is counted from its beginning."""

    def __init__(self) -> None:
        self.is_set = False
        self._left = 0
        self.done: list[tuple[Any, Any]] = []
        """The commands of the call that were answered, with their replies."""
        self.begun: Any = None
        """The command under way."""
        self.is_open = False
        """Whether others may come between at the points that the store itself declares."""

    @contextmanager
    def set_at(self, place: int, *, points_too: bool) -> Iterator[None]:
        """Interrupt what is called in the block at this place, if it comes so far."""
        self.is_set, self._left, self.done, self.begun = True, place, [], None
        try:
            if points_too:
                with points.installed(self._at_point, self._at_async_point):
                    yield
            else:
                yield
        finally:
            self.is_set = False

    def step(self) -> None:
        """Come to a place; raises `Interruption` if it is the one."""
        if self.is_set:
            if self._left == 0:
                self.is_set = False
                raise Interruption
            self._left -= 1

    def begin(self, command: Any) -> None:
        """Come to the place before a command."""
        self.step()
        self.begun = command

    def finish(self, command: Any, reply: Any) -> None:
        """Note a reply, and come to the place after it."""
        if self.is_set:
            self.done.append((command, reply))
        watched = _watching.get()
        if watched is not None:
            watched.append((command, reply))
        self.begun = None
        self.step()

    def _at_point(self, label: str, resource: object, mode: str) -> None:
        self.step()

    async def _at_async_point(self, label: str, resource: object, mode: str) -> None:
        self.step()


class Breakable:
    """Does what the store, or the workspaces, inside does, and can be interrupted before and after each command."""

    def __init__(self, inner: Any, trap: Trap) -> None:
        self._inner, self._trap = inner, trap

    def __getattr__(self, name: str) -> Any:
        if name in ("as_async", "answer_inline"):
            # Past these, commands would not come through here.
            raise AttributeError(name)
        found = getattr(self._inner, name)
        if name in _STORE_VERBS:
            return self._asking(name, found, _STORE)
        if name in _FILE_VERBS:
            return self._asking(name, found, "(files)")
        # Which deployment this is: asked when it is first needed, and no place to be interrupted at.
        return self._unseen(found) if name == "identify" else found

    def _in_one_step(self) -> AbstractContextManager[object]:
        # No other worker runs until this one comes to its next point, so that the hook is missed by nobody.
        is_whole = not self._trap.is_open and not self._trap.is_set
        return points.installed(None, None) if is_whole else nullcontext()

    def _unseen(self, ask: Any) -> Any:
        async def answered(command: Any) -> Any:
            with self._in_one_step():
                return await ask(command)

        def asking(command: Any) -> Any:
            with self._in_one_step():
                return ask(command)

        return answered if inspect.iscoroutinefunction(ask) else asking

    def _asking(self, verb: str, ask: Any, resource: str) -> Any:
        async def answered(reply: Awaitable[Any], command: Any) -> Any:
            await apoint(verb, resource, "w")
            with self._in_one_step():
                told = await reply
            self._trap.finish(command, told)
            return told

        def asking(command: Any, *rest: Any) -> Any:
            self._trap.begin(command)
            if inspect.iscoroutinefunction(ask):
                return answered(ask(command, *rest), command)
            point(verb, resource, "w")
            with self._in_one_step():
                reply = ask(command, *rest)
            if inspect.isawaitable(reply):
                return answered(reply, command)
            self._trap.finish(command, reply)
            return reply

        return asking


@contextmanager
def watching(asked: list[tuple[Any, Any]]) -> Iterator[None]:
    """Write down what this thread or task asks in the block, with the replies."""
    token = _watching.set(asked)
    try:
        yield
    finally:
        _watching.reset(token)


def make_breakable(guard: Any, trap: Trap) -> None:
    """Let the guard's store and workspaces be interrupted."""
    guard._store = Breakable(guard._store, trap)
    if guard._parts.files is not None:
        guard._parts.files = Breakable(guard._parts.files, trap)
