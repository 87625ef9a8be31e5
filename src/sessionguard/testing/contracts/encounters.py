"""Encounters: two or three callers whose every order is played, and whose histories a specification judges.

In a race callers start at one instant, and luck decides. In an encounter the scheduler decides at every point of the
store, and plays one schedule of each kind that can come out differently; where a store declares its points and keeps
its sessions in memory, that is a proof for these callers.
"""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

from attrs import field, frozen

from sessionguard.core.commands import Command
from sessionguard.core.driving import Flow, perform
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.cases import Case, register, sentence
from sessionguard.testing.contracts.grounds import Ground, blocking_ground, ground_between_calls, task_ground
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.contracts.yielding import Yields
from sessionguard.testing.history import History, SessionModel, Verdict, check
from sessionguard.testing.history.sessions.objections import records_in
from sessionguard.testing.profile import Profile
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Scenario

Part = Callable[[], Flow[Any]]
"""One thing that a caller does, made when it is its turn; a report leaves out those that it does not need."""

_SECONDS_IN_MEMORY: Final = 10.0
"""More than enough to play all schedules where none waits for a disk or a server."""


@frozen
class Meeting:
    """What one schedule of an encounter works with: commands, and owners of whom the place knows nothing yet."""

    s: Stage
    owner: str
    visitor: str
    """Another of those, without a name, whose sessions are of another shard."""
    _scenario: Scenario

    def now(self) -> timedelta:
        """Give what the clock of the schedule shows, counted from the beginning. Asking for it is a point."""
        return timedelta(seconds=self._scenario.clock.monotonic())


class Encounter(ABC):
    """One question about callers that meet in every order. Its docstring is the answer that must hold."""

    needs: ClassVar[str] = ""
    clock_steps: ClassVar[Sequence[timedelta]] = ()
    """By how much the clock moves on, at any moment; for callers that ask `m.now()`."""

    def prepare(self, m: Meeting) -> Flow[Any]:
        """Set the scene of one schedule; the result is the subject."""
        return None
        yield

    @abstractmethod
    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        """Give what each caller does, by its name."""

    def aftermath(self, m: Meeting, subject: Any, seen: Sequence[str]) -> Flow[None]:
        """Look at what is left, so that a lost or a late effect shows. `seen` are the ids that callers were given.

        At the end nothing of the owner is active.
        """
        for session_id in seen:
            yield from perform(m.s.get_by_id(session_id))
        yield from perform(m.s.end_owner(m.owner))


def asks(command: Command[Any]) -> Part:
    """Give the part that asks one command, which was made before."""
    return partial(perform, command)


class EncounterError(AssertionError):
    """A schedule went wrong; the message is its report."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(f"\n{outcome.failure.render()}" if outcome.failure is not None else outcome.describe())


@frozen
class EncounterCase(Case):
    """A behaviour that some order of callers may break."""

    modes = ("interleaved", "interleaved-async")
    mode_needs: ClassVar = {"interleaved": "blocking", "interleaved-async": "asynchronous"}

    encounter: Encounter = field(repr=False)

    def play(self, mode: str, candidate: Candidate, profile: Profile) -> str:
        """Search the orders until one goes wrong, there are no more, or the budget is spent.

        The result says what the search could not see; it is empty if callers were stopped within their calls.

        Raises:
            EncounterError: one went wrong, or a history could not be judged.
        """
        outcome, yields = self._searched(mode, candidate, profile)
        if outcome.failure is not None or outcome.unknown:
            raise EncounterError(outcome)
        return yields.remark

    def search(self, mode: str, candidate: Candidate, profile: Profile) -> Outcome:
        """Give what came of the search."""
        return self._searched(mode, candidate, profile)[0]

    def _searched(self, mode: str, candidate: Candidate, profile: Profile) -> tuple[Outcome, Yields]:
        ground = task_ground(candidate) if mode == "interleaved-async" else blocking_ground(candidate)
        outcome = self._search_on(ground, candidate, profile)
        if _is_endless(outcome) and ground.yields.is_found:
            # Nobody asked for its lines, or its io, so they are no reason to fail.
            ground = ground_between_calls(candidate, f"its {ground.yields.kind} come to no end")
            outcome = self._search_on(ground, candidate, profile)
        return outcome, ground.yields

    def _search_on(self, ground: Ground, candidate: Candidate, profile: Profile) -> Outcome:
        seconds = profile.encounter_seconds
        if not candidate.capabilities.shared and not ground.yields.is_found:
            seconds = _SECONDS_IN_MEMORY
        budget = Budget(profile.encounter_schedules, seconds)
        with ground:
            if candidate.capabilities.shared or ground.yields.is_found:
                self._rehearse(ground)
            interleaver = Interleaver(budget=budget, seed=candidate.seed, **ground.settings)
            outcome = interleaver.run(partial(self._play, ground), replay=candidate.replay)
            if _is_endless(outcome):
                ground.clear()
            return outcome

    def _rehearse(self, ground: Ground) -> None:
        """Play it once with no scheduler: what only a first use does, such as to connect, is no part of a schedule."""
        scenario = Scenario()
        self._play(ground, scenario)
        ground.play(scenario)
        for look in scenario.checks:
            look(scenario.history)

    def _play(self, ground: Ground, scenario: Scenario) -> None:
        meeting = Meeting(*ground.begin(scenario), scenario)
        before = History(itertools.count(-1_000_000).__next__)
        subject = ground.ask(self.encounter.prepare(meeting), before)
        for name, parts in self.encounter.callers(meeting, subject).items():
            ground.add(name, parts)
        if self.encounter.clock_steps:
            scenario.clock_actor(self.encounter.clock_steps)

        def linearizable(history: History) -> Verdict:
            after = History(itertools.count(1_000_000).__next__)
            ground.ask(self.encounter.aftermath(meeting, subject, _ids_in(before, history)), after)
            ground.settle()
            return check([*before.operations, *history.operations, *after.operations], SessionModel)

        scenario.check(linearizable)


def _is_endless(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.failure.verdict.reason == "endless"


def _ids_in(*histories: History) -> Sequence[str]:
    operations = (operation for history in histories for operation in history.operations)
    answered = (operation.result for operation in operations if operation.outcome == "ok")
    return list(dict.fromkeys(record.id for result in answered for record in records_in(result)))


EncounterClass = TypeVar("EncounterClass", bound=type[Encounter])


def encounter(cls: EncounterClass) -> EncounterClass:
    """Enter the decorated encounter into the register, under its class name in small letters."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
    subject = cls.__module__.rpartition(".")[2]
    register(EncounterCase(subject, name, sentence(cls.__doc__), frozenset(cls.needs.split()), cls()))
    return cls
