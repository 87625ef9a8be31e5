"""What a test calls: the search with the options of the command line, which fails the test and leaves its reports."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve, frozen

from sessionguard.testing.schedule.budget import Budget
from sessionguard.testing.schedule.interleaver import Interleaver
from sessionguard.testing.schedule.outcome import Outcome
from sessionguard.testing.schedule.reports.html import render_html
from sessionguard.testing.schedule.reports.plain import to_json
from sessionguard.testing.schedule.scenario import ScenarioFunction

BUDGETS: Final = {"ci": Budget(schedules=2_000, seconds=10.0), "deep": Budget(schedules=100_000, seconds=120.0)}
"""By profile."""


@frozen
class Interleave:
    """The fixture `interleave`: races a scenario, and fails the test with the report of what went wrong."""

    interleaver: Interleaver
    name: str = "scenario"
    """The test that asks."""
    replay: str | None = None
    artifacts: Path | None = None
    """The folder for reports."""
    needs_verdicts: bool = False
    """Whether a check that gave up fails the test."""

    def __call__(
        self,
        scenario: ScenarioFunction,
        *,
        schedules: int | None = None,
        seconds: float | None = None,
        proof: bool = False,
        **settings: Any,
    ) -> Outcome:
        """Give what was found, which is nothing: a schedule that goes wrong fails the test.

        `schedules` and `seconds` change the budget, `settings` are further fields of `Interleaver`. With `proof` the
        test fails also when some schedules at the declared points were left.
        """
        __tracebackhide__ = True
        budget = self.interleaver.budget
        budget = Budget(schedules or budget.schedules, seconds or budget.seconds)
        outcome = evolve(self.interleaver, budget=budget, **settings).run(scenario, replay=self.replay)
        if outcome.failure is not None:
            self._leave_reports(outcome)
            pytest.fail(outcome.failure.render(), pytrace=False)
        if proof and not outcome.exhausted and self.replay is None:
            pytest.fail(f"no proof: {outcome.describe()}", pytrace=False)
        if self.needs_verdicts and outcome.unknown:
            pytest.fail(f"a check gave up: {outcome.describe()}", pytrace=False)
        return outcome

    def _leave_reports(self, outcome: Outcome) -> None:
        if self.artifacts is None or outcome.failure is None:
            return
        self.artifacts.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^\w.-]+", "_", self.name).strip("_")
        (self.artifacts / f"{stem}.html").write_text(render_html(outcome.failure), encoding="utf-8")
        (self.artifacts / f"{stem}.json").write_text(to_json(outcome), encoding="utf-8")


def from_options(config: pytest.Config, name: str) -> Interleave:
    """Give the fixture of a test as the command line says."""
    budget = BUDGETS[config.getoption("--sg-profile")]
    budget = Budget(
        config.getoption("--sg-schedules") or budget.schedules, config.getoption("--sg-seconds") or budget.seconds
    )
    artifacts = config.getoption("--sg-artifacts")
    return Interleave(
        Interleaver(budget=budget, seed=config.getoption("--sg-seed")),
        name,
        config.getoption("--sg-replay"),
        None if artifacts is None else Path(artifacts),
        needs_verdicts=config.getoption("--sg-profile") == "deep",
    )
