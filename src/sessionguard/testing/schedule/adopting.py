"""Locks of code that declares nothing: replaced, for one schedule, by stand-ins whose waiting the scheduler sees.

`Lock`, `RLock` and `Condition` objects of `threading` that are attributes of an object, or names of a module, get a
stand-in that keeps the real one inside. Taking it is a point, and a worker that would have to wait is not enabled,
instead of blocked where nobody sees it. A time limit never ends the waiting for a lock; that for a condition
may end at any time.
"""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from typing import Any, Final, Protocol

from sessionguard.core import points

_LOCK: Final = type(threading.Lock())
_RLOCK: Final = type(threading.RLock())


class Holding(Protocol):
    """Where it is written down who holds what."""

    def hold(self, resource: Hashable, *, by_nobody: bool = False) -> None:
        """Note that the current worker took it without waiting, or that nobody can take it until it is released."""

    def let_go(self, resource: Hashable) -> None:
        """Note that it is free."""


class AdoptedLock:
    """Stands for a `Lock` or an `RLock`."""

    def __init__(self, name: str, real: Any, holding: Holding) -> None:
        self.name, self._real, self._holding = name, real, holding
        self._is_reentrant = isinstance(real, _RLOCK)
        self._owner: int | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it as the real one is taken."""
        me = threading.get_ident()
        if self._is_reentrant and self._owner == me:
            self._depth += 1
            return True
        if blocking:
            points.point("take", self.name, "acq")
            taken = bool(self._real.acquire())
        else:
            points.point("try", self.name, "try")  # type: ignore[arg-type]
            taken = bool(self._real.acquire(False))
            if taken:
                self._holding.hold(self.name)
        if taken:
            self._owner, self._depth = me, 1
        return taken

    def release(self) -> None:
        """Give it back. A worker that unwinds may no longer have it."""
        if self._owner != threading.get_ident():
            if self._owner is None:
                raise RuntimeError("release of a lock that nobody holds")
            return
        self._depth -= 1
        if self._depth == 0:
            points.point("give back", self.name, "rel")
            self._owner = None
            self._real.release()

    def locked(self) -> bool:
        """Whether someone has it."""
        points.point("look", self.name, "r")
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class AdoptedCondition:
    """Stands for a `Condition`."""

    def __init__(self, name: str, lock: AdoptedLock, holding: Holding) -> None:
        self._name, self._lock, self._holding = name, lock, holding
        self._waiting: list[Hashable] = []
        self._count = 0
        self.acquire, self.release = lock.acquire, lock.release

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back, wait to be notified, take it again. With a time limit that may end at any time."""
        self._count += 1
        ticket = (self._name, self._count)
        self._waiting.append(ticket)
        self._holding.hold(ticket, by_nobody=True)
        self._lock.release()
        if timeout is None:
            points.point("wait", ticket, "acq")
        else:
            points.point("wait a while", ticket, "w")
        self._holding.let_go(ticket)
        is_notified = ticket not in self._waiting
        with suppress(ValueError):
            self._waiting.remove(ticket)
        self._lock.acquire()
        return is_notified

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until the predicate holds, or, with a time limit, give what it is after one wait."""
        while not (result := predicate()):
            if not self.wait(timeout) and timeout is not None:
                return predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake so many of those who wait."""
        points.point("notify", self._name, "w")
        for ticket in self._waiting[:n]:
            self._waiting.remove(ticket)
            self._holding.let_go(ticket)

    def notify_all(self) -> None:
        """Wake everyone who waits."""
        self.notify(len(self._waiting))

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Adoption:
    """The stand-ins of one schedule; `undo` puts the real ones back."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._replaced: list[tuple[Any, str, Any]] = []
        self._stand_ins: dict[int, Any] = {}

    def adopt(self, owner: Any) -> None:
        """Replace every lock and condition among the attributes of `owner`, an object or a module."""
        prefix = getattr(owner, "__name__", type(owner).__name__)
        for attribute, real in list(_attributes(owner)):
            stand_in = self._stand_in(f"{prefix}.{attribute}", real)
            if stand_in is not None:
                self._replaced.append((owner, attribute, real))
                setattr(owner, attribute, stand_in)

    def undo(self) -> None:
        """Put the real ones back."""
        for owner, attribute, real in reversed(self._replaced):
            setattr(owner, attribute, real)
        self._replaced.clear()

    def _stand_in(self, name: str, real: Any) -> Any:
        if id(real) in self._stand_ins:  # One lock under two names, or inside a condition, stays one lock.
            return self._stand_ins[id(real)]
        if isinstance(real, _LOCK | _RLOCK):
            made: Any = AdoptedLock(name, real, self._holding)
        elif isinstance(real, threading.Condition):
            lock = self._stand_in(f"{name}.lock", real._lock)  # type: ignore[attr-defined]
            made = AdoptedCondition(name, lock, self._holding)
        else:
            return None
        self._stand_ins[id(real)] = made
        return made


def _attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    names = set(getattr(owner, "__dict__", ()))
    for base in type(owner).__mro__:
        slots = getattr(base, "__slots__", ())
        names.update((slots,) if isinstance(slots, str) else slots)
    for name in sorted(names):
        with suppress(AttributeError):
            yield name, getattr(owner, name)
