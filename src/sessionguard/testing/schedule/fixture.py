"""What a test calls: the search with the options of the command line, which fails the test and leaves its reports."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve, field, frozen

from sessionguard.testing.artifacts import artifact_path
from sessionguard.testing.history import UnknownVerdictWarning
from sessionguard.testing.naming import name_of
from sessionguard.testing.replaying import ReplayKind, replay_for
from sessionguard.testing.schedule.budget import Budget
from sessionguard.testing.schedule.engine_option import DECLARED, EngineOption
from sessionguard.testing.schedule.errors import NotFollowedWarning
from sessionguard.testing.schedule.interleaver import Interleaver
from sessionguard.testing.schedule.outcome import Outcome
from sessionguard.testing.schedule.reports.html import render_html
from sessionguard.testing.schedule.reports.saved import Origin, outcome_line, saved
from sessionguard.testing.schedule.scenario import ScenarioFunction

BUDGETS: Final = {"ci": Budget(schedules=2_000, seconds=10.0), "deep": Budget(schedules=100_000, seconds=120.0)}
"""By profile."""


@frozen
class Interleave:
    """The fixture `interleave`: races a scenario, and fails the test with the report of what went wrong."""

    interleaver: Interleaver
    test: str = "scenario"
    """The node id of the test that asks."""
    replay: str | None = None
    """The only schedule to be run."""
    regressions: tuple[str, ...] = ()
    """Schedules that are run before the search, because they went wrong once."""
    engine: EngineOption = DECLARED
    artifacts: Path | None = None
    """The folder for reports."""
    outcomes: Path | None = None
    """The file to which each outcome adds a line."""
    needs_verdicts: bool = False
    """Whether a check that gave up fails the test, and a regression that cannot be followed any more."""
    tell: Callable[[str], None] = lambda line: None
    """Told what each search that found nothing did."""
    done: list[Outcome] = field(factory=list)
    _was_followed: dict[str, bool] = field(factory=dict, init=False)
    """Of each of the regressions that were run, whether anything that was raced has its schedule."""

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
        test fails also when some schedules at the declared points were left, or have no verdict.
        """
        __tracebackhide__ = True
        budget = self.interleaver.budget
        budget = Budget(schedules or budget.schedules, seconds or budget.seconds)
        search = evolve(self.interleaver, budget=budget, **self.engine.added_to(settings, scenario))
        if self.replay is not None:
            return self._judge(search, scenario, search.run(scenario, replay=self.replay))
        for schedule in self.regressions:
            outcome = self._judge(search, scenario, search.run(scenario, replay=schedule))
            self._was_followed[schedule] = self._was_followed.get(schedule, False) or _has_followed(outcome)
        outcome = self._judge(search, scenario, search.run(scenario))
        if proof and not outcome.exhausted:
            pytest.fail(f"no proof: {outcome.describe()}", pytrace=False)
        return outcome

    def finish(self) -> None:
        """Warn of each schedule that was to be repeated, and that nothing that was raced has any more.

        Where the mark `replay` names it, that fails the test at the deep profile.
        """
        if self.replay is not None and self.done and not any(map(_has_followed, self.done)):
            self._warn(f"{_not_followed(self.test, self.replay)}; run the test without --sg-replay")
        for schedule, was_followed in self._was_followed.items():
            if was_followed:
                continue
            told = f"{_not_followed(self.test, schedule)}; take it out of @pytest.mark.replay, or write a new one"
            if self.needs_verdicts:
                pytest.fail(told, pytrace=False)
            self._warn(told)

    def _warn(self, told: str) -> None:
        warnings.warn(told, NotFollowedWarning, stacklevel=1)

    def _judge(self, search: Interleaver, scenario: ScenarioFunction, outcome: Outcome) -> Outcome:
        __tracebackhide__ = True
        if outcome.failure is not None:
            outcome = evolve(outcome, failure=evolve(outcome.failure, options=self.engine.argument))
        self.done.append(outcome)
        self._add_to_outcomes(outcome)
        if outcome.failure is not None:
            self._leave_reports(search, scenario, outcome)
            pytest.fail(outcome.failure.render(), pytrace=False)
        self.tell(outcome.describe())
        if outcome.unknown and self.needs_verdicts:
            pytest.fail(f"a check gave up: {outcome.describe()}", pytrace=False)
        if outcome.unknown:
            warnings.warn(f"a check gave up: {outcome.describe()}", UnknownVerdictWarning, stacklevel=3)
        return outcome

    def _add_to_outcomes(self, outcome: Outcome) -> None:
        if self.outcomes is not None:
            self.outcomes.parent.mkdir(parents=True, exist_ok=True)
            # One write at the end of the file, so that the lines of several processes do not mix.
            with self.outcomes.open("a", encoding="utf-8") as file:
                file.write(outcome_line(self.test, outcome))

    def _leave_reports(self, search: Interleaver, scenario: ScenarioFunction, outcome: Outcome) -> None:
        if self.artifacts is None or outcome.failure is None:
            return
        options = (self.engine.argument,) if self.engine.argument else ()
        origin = Origin(self.test, name_of(scenario), options, tuple(search.lines), search.loop, search.io)
        page = artifact_path(self.artifacts, self.test, "html")
        page.write_text(render_html(outcome.failure), encoding="utf-8")
        artifact_path(self.artifacts, self.test, "json").write_text(saved(outcome, origin), encoding="utf-8")


def of_test(config: pytest.Config, node: pytest.Item) -> Interleave:
    """Give the fixture of a test, as its marks and the command line say."""
    artifacts, outcomes = config.getoption("--sg-artifacts"), config.getoption("--sg-outcomes")
    return Interleave(
        Interleaver(budget=_budget(config, node), seed=config.getoption("--sg-seed")),
        node.nodeid,
        replay_for(ReplayKind.SCHEDULE, node),
        tuple(_regressions(node)),
        EngineOption.parse(config.getoption("--sg-engine") or DECLARED.name),
        None if artifacts is None else Path(artifacts),
        None if outcomes is None else Path(outcomes),
        needs_verdicts=config.getoption("--sg-profile") == "deep",
        tell=lambda line: node.add_report_section("call", "interleave", line),
    )


def _budget(config: pytest.Config, node: pytest.Item) -> Budget:
    """Give what a search of this test may cost: the mark says it, or the command line, or the profile."""
    profile = BUDGETS[config.getoption("--sg-profile")]
    schedules, seconds = config.getoption("--sg-schedules"), config.getoption("--sg-seconds")
    mark = node.get_closest_marker("schedules")
    if mark is not None:
        marked = _read_mark(*mark.args, **mark.kwargs)
        schedules, seconds = marked[0] or schedules, marked[1] or seconds
    return Budget(schedules or profile.schedules, seconds or profile.seconds)


def _read_mark(
    schedules: object = None, *others: object, seconds: object = None, **more: object
) -> tuple[int | None, float | None]:
    if (
        (schedules is not None and (not isinstance(schedules, int) or schedules < 1))
        or (seconds is not None and (not isinstance(seconds, int | float) or seconds <= 0))
        or (schedules is None and seconds is None)
        or others
        or more
    ):
        raise pytest.UsageError("write @pytest.mark.schedules(500), or schedules(500, seconds=20), or (seconds=20)")
    return schedules, seconds


def _regressions(node: pytest.Item) -> list[str]:
    marks = list(node.iter_markers("replay"))
    # The nearest mark comes first; they are run as they are written, from the top.
    ids = [each for mark in reversed(marks) for each in mark.args]
    if any(mark.kwargs or not mark.args for mark in marks) or not all(isinstance(each, str) for each in ids):
        raise pytest.UsageError("write @pytest.mark.replay('sg1:...'), with one id that a report printed, or several")
    return ids


def _not_followed(test: str, schedule: str) -> str:
    return (
        f"{test} passed, but {schedule} could not be followed to its end: what it names is not there any more, "
        "so nothing is shown"
    )


def _has_followed(outcome: Outcome) -> bool:
    return not outcome.ok or outcome.replay_is_faithful is not False
