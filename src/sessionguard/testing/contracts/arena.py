"""Races: callers that start at one instant, as threads, as tasks or as processes, and a judge who hears them all."""

import asyncio
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

from attrs import field, frozen

from sessionguard.core.driving import Flow, run, run_async
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.cases import Case, Steps, register, sentence
from sessionguard.testing.contracts.crew import Crew
from sessionguard.testing.contracts.remarks import UNJUDGED
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.contracts.team import Played, Team
from sessionguard.testing.history import (
    Budget,
    History,
    HistoryError,
    Illegal,
    SessionModel,
    Unknown,
    check,
    recorded,
    recorded_async,
)
from sessionguard.testing.profile import Profile

_JUDGING: Final = Budget(seconds=1.0)
_IN_VAIN_SECONDS: Final = 3.0
"""A storm of callers may be too much to be judged as a history; what the race itself asserts holds all the same. After
so many seconds without a verdict, the further rounds of a race are no longer judged."""


@frozen
class Counts:
    """How often, by how many callers and in how many processes a race is run."""

    rounds: int
    callers: int
    processes: int


class Race(ABC):
    """One question about callers that meet. Its docstring is the answer that must hold, in every round.

    Besides, everything that was asked in a round must be what a store could answer that does one thing at a time.
    """

    needs: ClassVar[str] = ""

    def counts(self, profile: Profile) -> Counts:
        """Give how much of this race is run under `profile`."""
        return Counts(profile.rounds, profile.callers, profile.processes)

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        """Set the scene of one round for this many callers; the result, the subject, must be picklable."""
        return f"owner-{secrets.token_hex(8)}"
        yield

    @abstractmethod
    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        """Act as one caller; the result, what it has seen, must be picklable."""

    @abstractmethod
    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        """Assert that what the callers have seen, and what the store holds now, is allowed."""


@frozen
class RaceCase(Case):
    """A behaviour that only callers who meet can break."""

    modes = ("threads", "tasks", "processes")
    mode_needs: ClassVar = {"threads": "blocking", "tasks": "asynchronous", "processes": "blocking shared processes"}

    race: Race = field(repr=False)

    def play(self, mode: str, candidate: Candidate, profile: Profile) -> str:
        """Run all rounds of the race. The result says how many were not judged as a history; it is empty if all were.

        Raises:
            AssertionError: what callers saw is wrong; or, at the deep profile, a round could not be judged.
        """
        counts = self.race.counts(profile)
        judge = Judge(is_strict=profile.name == "deep")
        if mode == "tasks":
            asyncio.run(self._play_tasks(candidate, counts, profile.patience, judge))
        elif mode == "threads":
            self._play_threads(candidate, counts, profile.patience, judge)
        else:
            self._play_processes(candidate, counts, profile.patience, judge)
        return judge.remark

    def _play_threads(self, candidate: Candidate, counts: Counts, patience: float, judge: "Judge") -> None:
        with candidate.connected() as (store, stage), Team([store, stage.other], counts.callers, patience) as team:

            def meet(subject: Any) -> list[Played]:
                return team.play([partial(self.race.caller, stage, subject, n) for n in range(counts.callers)])

            for _ in range(counts.rounds):
                self._round(stage, store, counts.callers, meet, judge)

    def _play_processes(self, candidate: Candidate, counts: Counts, patience: float, judge: "Judge") -> None:
        assert candidate.make_store is not None
        crew = Crew(candidate.make_store, self.race.caller, counts.processes, counts.callers, patience)
        with candidate.connected() as (store, stage), crew:
            for _ in range(counts.rounds):
                self._round(stage, store, counts.processes * counts.callers, crew.play, judge)

    def _round(
        self, stage: Stage, store: Any, callers: int, meet: Callable[[Any], list[Played]], judge: "Judge"
    ) -> None:
        around = History()
        asked = recorded(store, around, "before and after")
        subject = run(self.race.prepare(stage, callers), asked)
        played = meet(subject)
        run(self.race.judge(stage, subject, [each.result for each in played]), asked)
        judge.hear([around, *played])

    async def _play_tasks(self, candidate: Candidate, counts: Counts, patience: float, judge: "Judge") -> None:
        async with candidate.connected_async() as (store, stage):
            for _ in range(counts.rounds):
                history = History()
                asked = recorded_async(store, history, "before and after")
                subject = await run_async(self.race.prepare(stage, counts.callers), asked)
                start = asyncio.Barrier(counts.callers)

                async def call(number: int, subject: Any, start: asyncio.Barrier, history: History) -> Any:
                    connection = recorded_async(stage.other if number % 2 else store, history, f"caller {number}")
                    await start.wait()
                    return await run_async(self.race.caller(stage, subject, number), connection)

                async with asyncio.timeout(patience):
                    calls = (call(number, subject, start, history) for number in range(counts.callers))
                    seen = await asyncio.gather(*calls)
                await run_async(self.race.judge(stage, subject, seen), asked)
                judge.hear([history])


class Judge:
    """Says of the rounds of one race whether a store that does one thing at a time could have answered so."""

    def __init__(self, is_strict: bool = False) -> None:
        self._is_strict = is_strict
        """Whether every round has to have a verdict."""
        self._in_vain_seconds = 0.0
        self._rounds = self._unjudged = 0

    def hear(self, parts: Sequence[History | Played]) -> None:
        """Raise `HistoryError` if what was seen in a round is illegal, or, if this is strict, could not be judged."""
        self._rounds += 1
        if self._in_vain_seconds >= _IN_VAIN_SECONDS:
            self._unjudged += 1
            return
        began = time.monotonic()
        verdict = check([operation for part in parts for operation in part.operations], SessionModel, _JUDGING)
        if isinstance(verdict, Illegal) or (self._is_strict and isinstance(verdict, Unknown)):
            raise HistoryError(verdict)
        if isinstance(verdict, Unknown):
            self._unjudged += 1
            self._in_vain_seconds += time.monotonic() - began

    @property
    def remark(self) -> str:
        """How many rounds have no verdict, and what they were judged by all the same; empty if there are none."""
        if not self._unjudged:
            return ""
        return (
            f"{self._unjudged} of {self._rounds} rounds of a race {UNJUDGED}: the history was too much for "
            f"{_JUDGING.seconds:g} s each, and judged only by what the race itself asserts; a faster machine does more"
        )


RaceClass = TypeVar("RaceClass", bound=type[Race])


def race(cls: RaceClass) -> RaceClass:
    """Enter the decorated race into the register, under its class name in small letters."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
    register(
        RaceCase(cls.__module__.rpartition(".")[2], name, sentence(cls.__doc__), frozenset(cls.needs.split()), cls())
    )
    return cls
