"""A burst: a few callers at the same time, in many orders, each order on a place of its own with the same past.

Every order is judged by the checker of histories: some way to put the calls one after the other must explain all
answers. What the guard shows afterwards must agree with one of the states to which such ways lead.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from sessionguard.testing.history import History, Illegal, Model, Operation, Verdict
from sessionguard.testing.history.checking import check, final_states
from sessionguard.testing.machines.hand import MakeGuard, Told
from sessionguard.testing.machines.play import Play, Played, TraceError
from sessionguard.testing.machines.steps.step import Step
from sessionguard.testing.machines.world import Refuted, World
from sessionguard.testing.schedule.budget import Budget
from sessionguard.testing.schedule.engines import Engines, Setting
from sessionguard.testing.schedule.execution import Stage
from sessionguard.testing.schedule.interleaver import Interleaver
from sessionguard.testing.schedule.scenario import Scenario
from sessionguard.testing.schedule.searching import run_once
from sessionguard.testing.schedule.strategies.weighted import UniformWalk
from sessionguard.testing.schedule.threads import Patience

Lists = Sequence[Sequence[Step]]
"""For each caller what he does, in order."""


class WorldModel(Model[World]):
    """The plain model as a specification of histories, from any of several worlds on."""

    def __init__(self, worlds: Iterable[World]) -> None:
        self._worlds = frozenset(worlds)

    def initial(self) -> World:
        """Give one of the worlds."""
        return next(iter(self._worlds))

    def initials(self) -> Iterable[World]:
        """Give all of them."""
        return self._worlds

    def step(self, state: World, operation: Operation) -> Iterable[World]:
        """Give the world after a step with this answer, if it can be."""
        try:
            return (operation.args["step"].judge(state, operation.result),)
        except Refuted:
            return ()

    def only_reads(self, operation: Operation) -> bool:
        """Tell whether the step leaves every world as it is."""
        return bool(operation.args["step"].reads_only)

    def described(self, state: World) -> str:
        """Give the sessions."""
        return state.describe().replace("\n", ";")


@frozen
class Burst:
    """A burst that was played. Elsewhere it is played as one call after the other, in an order that explains it."""

    order: tuple[Step, ...]
    learnt: tuple[int, ...]
    """Which of them, by number, opened what callers knew afterwards, in the order in which they came to know."""

    def again(self, play: Play) -> None:
        """Do the same on another place."""
        told = [step.play(play.hand) for step in self.order]
        for step, answer in zip(self.order, told, strict=True):
            play.played.append(Played(step, answer))
            play.worlds = play.after(step, answer)
        for number in self.learnt:
            play.hand.learn(told[number].value)


@frozen
class Concurrency:
    """How bursts are played."""

    make_guard: MakeGuard
    schedules: int = 50
    seconds: float = 20.0
    is_open: bool = False
    """Whether others come between at the points that the store declares, too, and not only between its commands."""
    shrink_seconds: float = 10.0
    patience: Patience = field(factory=partial(Patience, 2.0, 20.0))

    def search(self, past: Sequence[Any], lists: Lists, seed: int) -> None:
        """Play the lists in many orders, each after the same past. Raises `TraceError` with one that goes wrong."""
        twins: list[Play] = []
        try:
            outcome = Interleaver(
                budget=Budget(self.schedules, self.seconds),
                seed=seed,
                patience=self.patience,
                shrink_seconds=self.shrink_seconds,
                # Each order is played on a place of its own, so stores name what they reach differently each time.
                must_repeat=self.is_open,
            ).run(partial(self._scenario, past=past, lists=lists, twins=twins))
            if outcome.failure is not None:
                raise TraceError(_told(outcome.failure.render(), past))
        finally:
            _close(twins)

    def _scenario(self, s: Scenario, past: Sequence[Any], lists: Lists, twins: list[Play]) -> None:
        _close(twins)
        play = Play(self.make_guard)
        twins.append(play)
        for step in past:
            step.again(play)
        play.hand.open_all()
        play.hand.trap.is_open = self.is_open
        if self.is_open:
            s.adopt(*play.place.kept)
        _add_workers(s, play, lists)
        s.check(partial(_judge, play))


def race(play: Play, lists: Lists, seed: int, patience: Patience) -> Burst:
    """Play the lists on this place itself, in an order that `seed` decides; go on with all worlds that explain it."""
    play.hand.open_all()
    strategy = UniformWalk(seed)
    strategy.begin()
    with Engines(Setting(patience)) as engines:
        stage = Stage(lambda s: _add_workers(s, play, lists), engines, seed)
        execution = run_once(stage, strategy)
    if execution.violation is not None:
        raise TraceError(play.report("a burst", execution.violation.message, ()))
    burst = settle(play, execution.history)
    play.trace.append(burst)
    return burst


def _close(plays: list[Play]) -> None:
    while plays:
        plays.pop().close()


def _add_workers(s: Scenario, play: Play, lists: Lists) -> None:
    for number, steps in enumerate(lists):
        name = f"caller {number + 1}"
        s.worker(name, *(partial(_act, s.history, play, name, step) for step in steps))


def _act(history: History, play: Play, name: str, step: Step) -> None:
    with history.record(name, step.name, step=step) as recording:
        recording.ok(step.play(play.hand))


def _judge(play: Play, history: History) -> Verdict | None:
    verdict = check(history, WorldModel(play.worlds))
    if isinstance(verdict, Illegal):
        return verdict
    settle(play, history)
    play.look()
    play.look_at_files()
    return verdict


def settle(play: Play, history: History) -> Burst:
    """Go on with every world to which a right order leads; callers keep what they were given, list by list."""
    operations = history.operations
    play.worlds, order = final_states(operations, WorldModel(play.worlds))
    if not play.worlds:
        raise TraceError(play.report("a burst", history.render(), ()))
    play.played += [Played(operation.args["step"], operation.result) for operation in order]
    by_list = sorted(order, key=lambda operation: (operation.client, operation.call))
    for operation in by_list:
        answer: Told = operation.result
        play.hand.learn(answer.value)
    steps = tuple(operation.args["step"] for operation in order)
    return Burst(steps, tuple(order.index(operation) for operation in by_list))


def _told(report: str, past: Sequence[Any]) -> str:
    return "\n".join(["a burst of concurrent calls goes wrong", "after:", *(f"  {step}" for step in past), report])
