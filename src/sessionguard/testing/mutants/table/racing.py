"""The layer of races (I): the scheduler plays callers of an implementation in many orders, and a checker judges."""

from functools import partial
from pathlib import Path
from typing import Protocol

from attrs import frozen

from sessionguard.testing.mutants.table.rows import Effort, Finding, Make
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Patience, Scenario


class RaceFunction(Protocol):
    """Sets up a race on what `make(folder)` gives; called anew for every schedule."""

    def __call__(self, s: Scenario, make: Make, folder: Path) -> None:
        """Add the workers and what must hold."""


@frozen
class Race:
    """One race as a trial, whose outcome can also be had whole."""

    set_up: RaceFunction

    def __call__(self, make: Make, folder: Path, effort: Effort) -> Finding:
        """Search for a schedule that goes wrong."""
        outcome = self.search(make, folder, effort)
        if outcome.failure is None:
            return Finding(False, outcome.schedules, outcome.describe())
        return Finding(True, outcome.failure.schedules, outcome.failure.verdict.message)

    def search(self, make: Make, folder: Path, effort: Effort, *, shrink_seconds: float = 0.0) -> Outcome:
        """Give all that a search found."""
        budget = Budget(effort.schedules, effort.seconds)
        interleaver = Interleaver(
            effort.strategy, budget, effort.seed, patience=Patience(10.0), shrink_seconds=shrink_seconds
        )
        return interleaver.run(partial(self.set_up, make=make, folder=folder))

    def replay(self, make: Make, folder: Path, replay_id: str) -> Outcome:
        """Give what came of the one schedule with that id."""
        interleaver = Interleaver(patience=Patience(10.0))
        return interleaver.run(partial(self.set_up, make=make, folder=folder), replay=replay_id)
