"""Locks of code that declares nothing: replaced, for one schedule, by stand-ins whose waiting the scheduler sees.

`Lock`, `RLock` and `Condition` objects of `threading` that are attributes of an object, or names of a module, get a
stand-in that keeps the real one inside. Taking it is a point, and a worker that would have to wait is not enabled,
instead of blocked where nobody sees it. A time limit, of the waiting for a lock or a condition, may end at any time:
how long the others take is nothing that a schedule says. The virtual clock does not move by it.
"""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from typing import Any, Final, Protocol

from sessionguard.core import points
from sessionguard.testing.schedule.pool import Abandoned

_LOCK: Final = type(threading.Lock())
_RLOCK: Final = type(threading.RLock())
_SOMEBODY: Final = -1
"""Who has a lock that was taken before it was adopted; no thread has that number."""


class Holding(Protocol):
    """Where it is written down who holds what."""

    def hold(self, resource: Hashable, *, by_nobody: bool = False) -> None:
        """Note that the current worker took it without waiting, or that nobody can take it until it is released."""

    def let_go(self, resource: Hashable) -> None:
        """Note that it is free."""

    def touch(self, label: str, resource: Hashable) -> None:
        """Note that the step under way changes it."""


class AdoptedLock:
    """Stands for a `Lock` or an `RLock`, in the state that it has."""

    def __init__(self, name: str, real: Any, holding: Holding) -> None:
        self.name, self._real, self._holding = name, real, holding
        self._is_reentrant = isinstance(real, _RLOCK)
        self._owner, self._depth = _holder(real)
        self._real_depth = self._depth
        self._forgiven: Counter[int] = Counter()
        """By thread: how many releases of it to pass over, since it unwinds out of a wait."""

    @property
    def depth(self) -> int:
        """How often it is taken; 0 if it is free."""
        return self._depth

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it as the real one is taken; with a time limit that ends at any time while somebody else has it.

        Raises:
            ValueError: as by the real one, of a time limit that is none, or that nobody waits for.
        """
        if (timeout < 0 and timeout != -1) or (not blocking and timeout != -1):
            self._real.acquire(blocking, timeout)  # It says what is wrong.
        if self._is_reentrant and self._owner == threading.get_ident():
            self._depth += 1
            return True
        if blocking and timeout < 0:
            points.point("take", self.name, "acq")
            taken = bool(self._real.acquire())
        else:
            # When it comes to its turn while the lock is held, the time has passed: to come later is to be in time.
            points.point("take in time" if timeout > 0 else "try", self.name, "try")  # type: ignore[arg-type]
            taken = bool(self._real.acquire(False))
            if taken:
                self._holding.hold(self.name)
        if taken:
            self._owner, self._depth, self._real_depth = threading.get_ident(), 1, 1
        return taken

    def release(self) -> None:
        """Give it back. A `Lock` may be given back by a thread that did not take it, as the real one."""
        me = threading.get_ident()
        if self._forgiven[me]:
            self._forgiven[me] -= 1
        elif self._is_reentrant and self._owner != me:
            raise RuntimeError("cannot release un-acquired lock")
        elif self._is_reentrant and self._depth > 1:
            self._depth -= 1
        else:
            self.give_back()

    def give_back(self) -> None:
        """Let it be free, however often it was taken."""
        try:
            points.point("give back", self.name, "rel")
        except BaseException:
            if self._owner == threading.get_ident():  # It unwinds here, and nobody else will do it.
                self._free()
            raise
        if not self._depth:
            # A moment later it might be: what is taken next need not come after this.
            self._holding.touch("give back in vain", self.name)
            raise RuntimeError("release unlocked lock")
        self._free()

    def take_again(self, depth: int) -> None:
        """Take it as often as it was given back."""
        self.acquire()
        self._depth = depth

    def forgive(self, depth: int) -> None:
        """Let the thread that unwinds, and does not have it, give it back as often in vain."""
        self._forgiven[threading.get_ident()] += depth

    def is_owned(self) -> bool:
        """Whether a condition on it may be used: this thread has an `RLock`, or anyone has a `Lock`."""
        if self._owner == threading.get_ident():
            return True
        return not self._is_reentrant and self.locked()

    def locked(self) -> bool:
        """Whether someone has it."""
        points.point("look", self.name, "r")
        return self._depth > 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _free(self) -> None:
        self._owner, self._depth = None, 0
        for _ in range(self._real_depth):
            self._real.release()


class AdoptedCondition:
    """Stands for a `Condition`."""

    def __init__(self, name: str, lock: AdoptedLock, holding: Holding) -> None:
        self._name, self._lock, self._holding = name, lock, holding
        self._waiting: list[Hashable] = []
        self._count = 0
        self.acquire, self.release = lock.acquire, lock.release

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back, wait to be notified, take it again. With a time limit that may end at any time.

        Raises:
            RuntimeError: nobody has the lock.
        """
        if not self._lock.is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        self._count += 1
        ticket = (self._name, self._count)
        self._waiting.append(ticket)
        self._holding.touch("wait begins", self._name)
        if timeout is None:
            self._holding.hold(ticket, by_nobody=True)
        depth = self._lock.depth
        try:
            self._lock.give_back()
            is_notified = self._sleep(ticket, timeout)
            self._lock.take_again(depth)
        except Abandoned:
            self._lock.forgive(depth)
            raise
        return is_notified

    def _sleep(self, ticket: Hashable, timeout: float | None) -> bool:
        if timeout is None:
            points.point("wait", ticket, "acq")
            self._holding.let_go(ticket)
            return True
        # An access to the condition: whether the notification or the end of the wait came first is all that matters.
        points.point("wait a while", self._name, "w")
        is_notified = ticket not in self._waiting
        with suppress(ValueError):
            self._waiting.remove(ticket)
        return is_notified

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until the predicate holds, or, with a time limit, give what it is after one wait."""
        while not (result := predicate()):
            if not self.wait(timeout) and timeout is not None:
                return predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake so many of those who wait.

        Raises:
            RuntimeError: nobody has the lock.
        """
        if not self._lock.is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
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
        self._names: Counter[str] = Counter()

    def adopt(self, owner: Any) -> None:
        """Replace every lock and condition among the attributes of `owner`, an object or a module."""
        prefix = self._named(getattr(owner, "__name__", type(owner).__name__))
        for attribute, real in list(attributes_of(owner)):
            stand_in = self._stand_in(f"{prefix}.{attribute}", real)
            if stand_in is not None:
                self._replaced.append((owner, attribute, real))
                setattr(owner, attribute, stand_in)

    def begin(self) -> None:
        """Note which of them are held already, before the first worker runs."""
        for stand_in in self._stand_ins.values():
            if isinstance(stand_in, AdoptedLock) and stand_in.depth:
                self._holding.hold(stand_in.name, by_nobody=True)

    def undo(self) -> None:
        """Put the real ones back."""
        for owner, attribute, real in reversed(self._replaced):
            setattr(owner, attribute, real)
        self._replaced.clear()

    def _named(self, prefix: str) -> str:
        """Tell a second owner of that name from the first: their locks are two."""
        self._names[prefix] += 1
        return prefix if self._names[prefix] == 1 else f"{prefix} {self._names[prefix]}"

    def _stand_in(self, name: str, real: Any) -> Any:
        if id(real) in self._stand_ins:  # One lock under two names, or inside a condition, stays one lock.
            return self._stand_ins[id(real)]
        if isinstance(real, _LOCK | _RLOCK):
            made: Any = AdoptedLock(name, real, self._holding)
        elif isinstance(real, threading.Condition):
            lock = self._stand_in(f"{name}.lock", real._lock)  # type: ignore[attr-defined]
            if lock is None:  # Its lock is of a kind of its own, which is left alone.
                return None
            made = AdoptedCondition(name, lock, self._holding)
        else:
            return None
        self._stand_ins[id(real)] = made
        return made


def _holder(real: Any) -> tuple[int | None, int]:
    """Give who has a real lock and how often it is taken; of a `Lock`, and of others' locks, only that it is taken."""
    if isinstance(real, _RLOCK) and real._is_owned():  # type: ignore[attr-defined]
        return threading.get_ident(), _levels(real)
    if real.acquire(False):
        real.release()
        return None, 0
    return _SOMEBODY, 1


def _levels(real: Any) -> int:
    """Give how often this thread has taken an `RLock` that it has."""
    depth = 0
    while real._is_owned():
        real.release()
        depth += 1
    for _ in range(depth):
        real.acquire()
    return depth


def attributes_of(owner: Any) -> Iterator[tuple[str, Any]]:
    """Give what an object or a module has itself, in its dictionary or its slots, by name."""
    names = set(getattr(owner, "__dict__", ()))
    for base in type(owner).__mro__:
        slots = getattr(base, "__slots__", ())
        names.update((slots,) if isinstance(slots, str) else slots)
    for name in sorted(names):
        with suppress(AttributeError):
            yield name, getattr(owner, name)
