"""Small random programs of threads that use locks and conditions which declare nothing."""

import random
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, frozen

from sessionguard.core.points import point
from sessionguard.testing.schedule import Scenario

Verb = tuple[str, str]
_VERBS = ("r", "w", "both", "held", "try", "locked", "open", "wait", "wait", "notify", "notify")


@define
class Desk:
    """What they share."""

    lock: Any
    nested: Any
    changed: Any


@frozen
class LockingProgram:
    """For each worker its verbs, each with the name of what it reads or writes."""

    workers: tuple[tuple[Verb, ...], ...]
    outcomes: set[Any]

    def build(self, s: Scenario) -> None:
        """Set it up as a scenario that adds what came out to `outcomes`."""
        play = _Play()
        s.adopt(play.desk)
        for number, verbs in enumerate(self.workers):
            s.worker(f"w{number}", partial(play.play, number, verbs))
        s.check(lambda history: self.outcomes.add(play.seen()))


class _Play:
    def __init__(self) -> None:
        self.desk = Desk(threading.Lock(), threading.RLock(), threading.Condition())
        self._memory: dict[str, int] = {}
        self._told: dict[int, list[object]] = {}
        self._verbs: dict[str, Callable[[int, str], object]] = {
            "r": self._read,
            "w": self._write,
            "both": self._both,
            "held": self._held,
            "try": self._try,
            "locked": lambda number, name: self.desk.lock.locked(),
            "open": self._open,
            "wait": self._wait,
            "notify": self._notify,
        }

    def seen(self) -> Any:
        """Give what each worker was told, and what is left."""
        told = sorted((number, tuple(each)) for number, each in self._told.items())
        return tuple(told), tuple(sorted(self._memory.items()))

    def play(self, number: int, verbs: tuple[Verb, ...]) -> None:
        for verb, name in verbs:
            self._told.setdefault(number, []).append(self._verbs[verb](number, name))

    def _read(self, number: int, name: str) -> object:
        point(f"read {name}", name, "r")
        return self._memory.get(name, 0)

    def _write(self, number: int, name: str) -> None:
        point(f"write {name}", name, "w")
        self._memory[name] = 10 * number + len(self._told.get(number, ()))

    def _both(self, number: int, name: str) -> object:
        with self.desk.nested, self.desk.nested:
            before = self._read(number, name)
            self._write(number, name)
            return before

    def _held(self, number: int, name: str) -> object:
        self.desk.lock.acquire()
        return self._read(number, name), self._close()

    def _try(self, number: int, name: str) -> object:
        if not self.desk.lock.acquire(blocking=False):
            return "busy"
        self._write(number, name)
        return self._close()

    def _open(self, number: int, name: str) -> object:
        return self._close()

    def _close(self) -> object:
        try:
            self.desk.lock.release()
        except RuntimeError:
            return "was free"
        return "opened"

    def _wait(self, number: int, name: str) -> object:
        with self.desk.changed, self.desk.changed:
            return self.desk.changed.wait(1.0), self._memory.get("row")

    def _notify(self, number: int, name: str) -> None:
        with self.desk.changed:
            self._memory["row"] = number
            self.desk.changed.notify()


def random_locking_program(luck: random.Random) -> LockingProgram:
    """Give two or three workers with up to three verbs each; some of the programs are large."""
    count = luck.choice((2, 2, 3))
    return LockingProgram(
        tuple(
            tuple((verb, luck.choice("xy")) for verb in luck.choices(_VERBS, k=luck.randint(1, 5 - count)))
            for _ in range(count)
        ),
        set(),
    )
