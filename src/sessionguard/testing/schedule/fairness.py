"""Fairness: a worker that only goes round, asking until another has done something, lets the others go on first.

After Musuvathi and Qadeer, "Fair stateless model checking" (PLDI 2008): a thread that yields is below every other one
that could have gone on, until that one has been scheduled. They take calls of `yield` for it. Here nobody declares
them, so a worker is taken to yield with every step that it makes after `ROUNDS` in a row at points where it stood
before. Until then nothing is changed, and a search in which it was changed proves nothing.
"""

from collections.abc import Sequence
from typing import Final

from sessionguard.testing.schedule.accesses import Point

ROUNDS: Final = 100
"""So many steps of one worker without a point that is new to it: more than most code that comes to an end makes."""


class Fairness:
    """Who has to let whom go on, in one schedule."""

    def __init__(self) -> None:
        self.spinning: set[int] = set()
        """Who went round for so long that others came first."""
        self._known: dict[int, set[Point]] = {}
        self._rounds: dict[int, int] = {}
        self._below: dict[int, set[int]] = {}
        """Of each worker that yielded: the others that could have gone on, and have not since."""

    def among(self, enabled: list[int]) -> list[int]:
        """Give those who may go on: of those who can, the ones who need let nobody else go on first."""
        if not self._below:
            return enabled
        return [worker for worker in enabled if self._below.get(worker, _NOBODY).isdisjoint(enabled)] or enabled

    def take(self, worker: int, point: Point, enabled: Sequence[int]) -> None:
        """Learn that of all `enabled` this worker was granted this point."""
        for below in self._below.values():
            below.discard(worker)
        known = self._known.setdefault(worker, set())
        if point not in known:
            known.add(point)
            self._rounds[worker] = 0
            return
        self._rounds[worker] += 1
        if self._rounds[worker] >= ROUNDS:
            self._below[worker] = {other for other in enabled if other != worker}
            if self._below[worker]:
                self.spinning.add(worker)

    def going_round(self) -> list[int]:
        """Give those who go round now."""
        return [worker for worker, rounds in self._rounds.items() if rounds >= ROUNDS]


_NOBODY: Final[frozenset[int]] = frozenset()
