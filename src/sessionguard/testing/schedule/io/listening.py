"""Who is told when something shared is reached for: one listener at a time, and only for what its workers do."""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple, Protocol

from sessionguard.testing.schedule.io.naming import Place

Mode = Literal["r", "w"]
Touched = tuple[Hashable, Mode]


class Access(NamedTuple):
    """One access that is about to be made: the name a person knows it by, and everything that it touches."""

    label: str
    touched: Sequence[Touched]
    rows: frozenset[object] = frozenset()
    """The values by which a statement names its rows, as far as that can be told; none: all rows may be meant."""


class Listener(Protocol):
    """Whatever is told of accesses."""

    @property
    def can_stop(self) -> bool:
        """Whether whoever asks can be made to wait; if not, what waits is left to wait as it does."""

    def is_mine(self) -> bool:
        """Whether whoever asks is a worker of the schedule."""

    def place(self, name: Hashable) -> Place:
        """Give the place of that name, the same one for everybody in this schedule."""

    def reach(self, access: Access) -> None:
        """Be told of an access before it is made; returns when it may be made."""

    async def areach(self, access: Access) -> None:
        """Be told of one in a coroutine."""

    def note(self, access: Access) -> None:
        """Be told of one that belongs to the step under way."""

    def wait(self, label: str, is_over: Callable[[], bool], *, may_give_up: bool = True) -> bool:
        """Wait until `is_over`; False if nobody else can go on, so that it never will be.

        Without `may_give_up` that is a deadlock.
        """

    def wait_for_others(self, label: str) -> bool:
        """Wait until another worker has done something; False if nobody else can go on."""

    def sleep(self) -> None:
        """Let others go on for a while."""

    def has_polled(self, resource: Hashable) -> bool:
        """Whether this worker has asked for the same before, and has only waited or asked since."""


_listener: Listener | None = None
_inside: Final = threading.local()


def mine() -> Listener | None:
    """Give who is to be told of what the caller does; None if nobody is, which is so outside of schedules."""
    if _listener is None or getattr(_inside, "is_harness", False) or not _listener.is_mine():
        return None
    return _listener


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let this one be told until the block is left."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


@contextmanager
def unheard() -> Iterator[None]:
    """What the harness itself looks at within the block, in this thread, is no access."""
    before, _inside.is_harness = getattr(_inside, "is_harness", False), True
    try:
        yield
    finally:
        _inside.is_harness = before
