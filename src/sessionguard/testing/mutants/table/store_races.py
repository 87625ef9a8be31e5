"""Races on stores: callers with commands of their own, judged against the life cycle of sessions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from attrs import field, frozen

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.core.points import point
from sessionguard.core.tokens import Mint
from sessionguard.testing.contracts.stage import IDLE, LIFETIME, START, TOUCH, Stage
from sessionguard.testing.history import History, SessionModel, Verdict, recorded
from sessionguard.testing.model import ModelStore
from sessionguard.testing.mutants.table.racing import RaceFunction
from sessionguard.testing.mutants.table.rows import Make
from sessionguard.testing.schedule import Scenario

Commands = Sequence[Any]
"""Commands to a store."""


@frozen
class Plan:
    """Who asks what."""

    callers: Mapping[str, Commands]
    before: Commands = ()
    """What was asked before they meet."""
    after: Commands = ()
    """What is asked when they are done, to see what is left."""


@cache
def declared(store: Callable[[], ModelStore]) -> Callable[[], ModelStore]:
    """Give the same store with a point before each step, and with one where a planted bug lets others in.

    So each command is one step that nobody else comes between, or, where the bug is, two.
    """

    class Declared(store):  # type: ignore[misc, valid-type]
        @contextmanager
        def step(self) -> Iterator[None]:
            point("ask", "sessions", "w")
            with super().step():
                yield

        def gap(self, until: object = None) -> None:
            self.lock.release()
            try:
                point("go on", "sessions", "w")
            finally:
                self.lock.acquire()

        def await_gap(self) -> None:
            """Nobody has to wait: the scheduler decides who comes first."""

    Declared.__name__ = Declared.__qualname__ = store.__name__
    return Declared


@frozen
class StoreRace:
    """A race as a function that sets it up."""

    plan: Callable[[Stage], Plan]
    name: str = field()

    @name.default
    def _name(self) -> str:
        return self.plan.__name__

    def __call__(self, s: Scenario, make: Make, folder: Path) -> None:
        """Let each caller ask its commands, one after the other."""
        store = make(folder)
        stage = Stage(run(perform(c.Identify()), store), mint=Mint(s.random.randbytes))
        plan = self.plan(stage)
        _ask_all(plan.before, recorded(store, s.history, "before"))
        for name, commands in plan.callers.items():
            s.worker(name, *(partial(_ask, command, recorded(store, s.history, name)) for command in commands))

        def legal(history: History) -> Verdict:
            _ask_all(plan.after, recorded(store, history, "after"))
            return history.linearizable(SessionModel)

        s.check(legal)


def _ask(command: c.Command[Any], store: Any) -> None:
    command.apply(store)


def _ask_all(commands: Commands, store: Any) -> None:
    for command in commands:
        _ask(command, store)


# The races


def first_requests(stage: Stage) -> Plan:
    """Three first requests of one owner."""
    callers: dict[str, Commands] = {name: [stage.get_or_create("ana")] for name in ("one", "two", "three")}
    return Plan(callers)


def a_save_and_another(stage: Stage) -> Plan:
    """Two requests save different fields of one session."""
    new = stage.new()
    callers: dict[str, Commands] = {name: [stage.save(new, {name: 1})] for name in ("cart", "theme")}
    return Plan(callers, [stage.get_or_create(new)], [stage.get(new)])


def a_logout_under_a_slow_request(stage: Stage) -> Plan:
    """A request saves what it has changed while the session is ended."""
    new = stage.new()
    callers: dict[str, Commands] = {
        "slow request": [stage.load(new), stage.save(new, {"cart": 1})],
        "logout": [stage.end(new, "logout")],
    }
    return Plan(callers, [stage.get_or_create(new)], [stage.get(new), stage.load(new)])


def a_sweep_and_a_late_request(stage: Stage) -> Plan:
    """A session is used in the last moment, on a host whose clock is behind, while it is swept."""
    new = stage.new(lifetime=LIFETIME)
    callers: dict[str, Commands] = {"sweep": [stage.sweep(at=IDLE)], "request": [stage.load(new, at=IDLE - TOUCH)]}
    return Plan(callers, [stage.get_or_create(new)], [stage.load(new, at=IDLE)])


def an_end_and_a_new_beginning(stage: Stage) -> Plan:
    """A session is ended and opened anew while another request opens and saves."""
    new = stage.new()
    callers: dict[str, Commands] = {
        "logout": [stage.end(new, "logout"), stage.get_or_create("ana")],
        "request": [stage.get_or_create("ana"), stage.save(new, {"cart": 1})],
    }
    return Plan(callers, [stage.get_or_create(new, at=START)])


FIRST_REQUESTS: RaceFunction = StoreRace(first_requests)
SAVES: RaceFunction = StoreRace(a_save_and_another)
LOGOUT: RaceFunction = StoreRace(a_logout_under_a_slow_request)
SWEEP: RaceFunction = StoreRace(a_sweep_and_a_late_request)
REOPENING: RaceFunction = StoreRace(an_end_and_a_new_beginning)
