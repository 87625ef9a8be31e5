"""Small programs of declared accesses, run without any thread, and every outcome they can have."""

import random
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from attrs import frozen

from sessionguard.core.points import Part
from sessionguard.testing.schedule.accesses import Point
from sessionguard.testing.schedule.strategies.strategy import Strategy
from sessionguard.testing.schedule.track import NOBODY, Track

Instruction = tuple[str, Hashable]
"""A mode and a resource, which may be a `Part`.

"if" in front of a mode means: only if the resource held an even number when read last."""


@frozen
class Program:
    """For each worker its instructions."""

    workers: tuple[tuple[Instruction, ...], ...]

    def outcome(self, strategy: Strategy) -> Any:
        """Run one schedule; give what every worker read and what is left, and the end of it."""
        track = Track([f"w{number}" for number in range(len(self.workers))], strategy)
        memory: dict[Hashable, int] = {}
        reads: list[list[int]] = [[] for _ in self.workers]
        runs = [self._play(number, memory, reads[number]) for number in range(len(self.workers))]
        for number, run in enumerate(runs):
            track.pending[number] = next(run, None)
        while (worker := track.decide()) != NOBODY:
            track.pending[worker] = next(runs[worker], None)
        strategy.end(track)
        stuck = tuple(worker for worker, _ in track.waiting())
        return tuple(map(tuple, reads)), tuple(sorted(memory.items(), key=str)), stuck

    def _play(self, number: int, memory: dict[Hashable, int], reads: list[int]) -> Iterator[Point]:
        for place, (mode, resource) in enumerate(self.workers[number]):
            if mode.startswith("if ") and reads and reads[-1] % 2:
                continue
            mode = mode.removeprefix("if ")
            yield Point(f"{mode} {resource}", resource, mode)
            if mode == "r":
                reads.append(sum(memory.get(place, 0) for place in _places(resource)))
            elif mode == "w":
                memory.update((each, 10 * number + place + 1) for each in _places(resource))


def random_program(luck: random.Random) -> Program:
    """Give two to four workers with a few instructions on a few resources, some of them in locks, some conditional."""
    count = luck.choice((2, 2, 3, 3, 4))
    longest = {2: 5, 3: 3, 4: 2}[count]
    resources = "xyz"[: luck.choice((1, 2, 2, 3))]
    return Program(tuple(tuple(_instructions(luck, longest, resources)) for _ in range(count)))


def _instructions(luck: random.Random, longest: int, resources: str) -> Sequence[Instruction]:
    wanted: list[Instruction] = []
    for _ in range(luck.randint(1, longest)):
        mode = luck.choice(("r", "w", "r", "w", "if w", "if r"))
        wanted.append((mode, luck.choice(resources)))
    for _ in range(luck.choice((0, 0, 1, 1, 2))):
        if len(wanted) + 2 > longest + 1:
            break
        lock = luck.choice(("L", "M"))
        if ("acq", lock) in wanted:
            break
        begin = luck.randint(0, len(wanted))
        end = luck.randint(begin, len(wanted))
        wanted[end:end] = [("rel", lock)]
        wanted[begin:begin] = [("acq", lock)]
    return wanted


class Exhaustive:
    """Every schedule there is, one after the other: slow, and too simple to be wrong."""

    name = "exhaustive"
    is_exhausted = False

    def __init__(self) -> None:
        self._path: list[tuple[int, Sequence[int]]] = []
        self._depth = 0
        self._is_first = True

    def begin(self) -> bool:
        """Take the next choice at the last place that has one."""
        self._depth = 0
        if self._is_first:
            self._is_first = False
            return True
        while self._path:
            taken, enabled = self._path.pop()
            if taken + 1 < len(enabled):
                self._path.append((taken + 1, enabled))
                return True
        return False

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Follow the path, then take the first."""
        if self._depth == len(self._path):
            self._path.append((0, enabled))
        self._depth += 1
        return enabled[self._path[self._depth - 1][0]]

    def end(self, track: Track) -> None:
        """Learn nothing."""


def outcomes(program: Program, strategy: Strategy) -> tuple[set[Any], int]:
    """Give every outcome that the strategy finds, and the number of schedules it took."""
    found, schedules = set(), 0
    while strategy.begin():
        found.add(program.outcome(strategy))
        schedules += 1
    return found, schedules


PARTS = (Part("whole", "1"), Part("whole", "2"))


def _places(resource: Hashable) -> tuple[Hashable, ...]:
    """Give where a resource is in memory: the whole is where its parts are."""
    return PARTS if resource == "whole" else (resource,)


def random_part_program(luck: random.Random) -> Program:
    """Give two or three workers that read and write a whole, parts of it and something else."""
    resources = ("whole", *PARTS, "other")
    count = luck.choice((2, 2, 3))
    return Program(
        tuple(
            tuple(
                (luck.choice(("r", "w", "if w")), luck.choice(resources))
                for _ in range(luck.randint(1, {2: 4, 3: 2}[count]))
            )
            for _ in range(count)
        )
    )
