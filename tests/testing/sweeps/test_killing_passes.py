"""T64 on the clean-up: killed, stopped or interrupted anywhere in a pass, the next one heals, and harms nobody."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal

import pytest

from sessionguard import SessionGuard
from sessionguard.core.fleet import TakeTurn
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.turns import RUN
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import Profile, VirtualClock
from sessionguard.testing.sweeps import InterruptPoint, interrupt_sweep, kill_sweep
from tests.testing.sweeps import killed_passes as k

STEPS: Final = {"move away", "delete", "unmark"}
"""Those of the files. The record ends before, in one step of the store."""
ENGINES: Final = ["sqlite", *(pytest.param(kind, marks=pytest.mark.deep) for kind in ("file", "postgres", "redis"))]


@pytest.mark.processes
@pytest.mark.parametrize("fault", ["kill", pytest.param("pause", marks=pytest.mark.deep)])
@pytest.mark.parametrize("url", ENGINES, indirect=True)
def test_a_pass_that_dies_anywhere_is_healed_by_the_next(
    url: str, fault: Literal["kill", "pause"], sg_profile: Profile
) -> None:
    """Nothing that lives is removed, nothing is left, nobody is told twice, and the turn is free once it lapsed."""
    is_deep = sg_profile.name == "deep"
    report = kill_sweep(
        partial(k.clean_up_in_use if is_deep else k.clean_up, url=url),
        partial(k.next_pass, url=url),
        prepare=partial(k.prepare, url=url, due=3 if is_deep else 1),
        check=partial(k.all_is_clean, url=url),
        lease=k.TURN,
        faults=[fault],
    )
    assert {stop.label for stop in report.strikes[fault]} >= STEPS


def test_a_pass_that_is_interrupted_anywhere_is_healed_by_the_next(tmp_path: Path) -> None:
    """The same in one process, on memory, for whoever is told to stop in the middle."""
    clock, work, told = VirtualClock(), tmp_path / "work", list[str]()
    with SessionGuard(MemoryStore(), work, k.POLICIES, clock=clock, sweep_interval=None) as guard:
        guard.on_end(lambda session: told.append(session.id))
        kept = k.filed(guard, "alive", "default")
        others = [k.other(guard, name) for name in ("bea", "cy")]
        left_over = [kept.id]

        def prepare() -> None:
            told.clear()
            k.filed(guard, "due", "short")
            clock.advance(timedelta(minutes=1))

        def check(point: InterruptPoint) -> None:
            # Its turn was not given back, and lapses; what it took meanwhile it has let go.
            clock.advance(k.TURN)
            assert not guard.sweep(in_turn=True).yielded
            assert k.directories(work) == set(left_over), point
            assert len(told) == len(set(told)), point
            assert kept.id not in told
            taken = guard._store.take_turn(TakeTurn(RUN, "next", clock(), 1))  # type: ignore[attr-defined]
            assert taken is Outcome.DONE, point
            clock.advance(timedelta(microseconds=1))

        def clean_up() -> None:
            assert guard.sweep(in_turn=True).ended == 1

        prepare()
        clean_up()
        report = interrupt_sweep(clean_up, others, prepare=prepare, check=check)
        assert {stop.label for stop in report.stops} >= STEPS
