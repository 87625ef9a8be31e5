"""T68 and T70 on holds: killed, stopped, interrupted, or with a clock that jumps, nothing is held for longer."""

import gc
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal

import pytest

from sessionguard import SessionGuard
from sessionguard.core.events import Event, LeaseLost
from sessionguard.core.leases import FindLease
from sessionguard.errors import LeaseLostError, StoreError
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import VirtualClock
from sessionguard.testing.sweeps import InterruptPoint, interrupt_sweep, jump_sweep, kill_sweep
from tests.testing.sweeps import killed_guards as guards
from tests.testing.sweeps import killed_holds as k
from tests.testing.sweeps.killed_passes import other

ENGINES: Final = ["sqlite", *(pytest.param(kind, marks=pytest.mark.deep) for kind in ("file", "postgres", "redis"))]


@pytest.mark.processes
@pytest.mark.parametrize("fault", ["kill", pytest.param("pause", marks=pytest.mark.deep)])
@pytest.mark.parametrize("url", ENGINES, indirect=True)
def test_a_holder_that_dies_or_is_stopped_anywhere(url: str, fault: Literal["kill", "pause"]) -> None:
    """Its lease ends by itself, another works on, and woken it writes nothing, is told so, and leaves no lease."""
    report = kill_sweep(
        partial(k.work_in_a_hold, url=url),
        partial(k.work_later, url=url),
        prepare=partial(guards.prepare, url=url),
        check=partial(k.last_wins_and_nobody_holds, url=url),
        lease=k.LEASE,
        faults=[fault],
        refusals=(LeaseLostError, StoreError),
    )
    assert {"held", "between"} <= {stop.label for stop in report.strikes[fault]}


@pytest.mark.processes
@pytest.mark.deep
@pytest.mark.parametrize("url", ["sqlite", "postgres", "redis"], indirect=True)
def test_a_clock_that_jumps_under_a_holder(url: str) -> None:
    """T57: past its lease, to the tick before, past the session or an hour back: it is told, or has lost nothing."""
    report = jump_sweep(
        partial(k.work_whatever_the_clock, url=url),
        partial(k.nobody_holds_whatever_the_clock, url=url),
        jumps=[k.LEASE, k.LEASE - timedelta(microseconds=1), guards.IDLE, -timedelta(hours=1)],
        prepare=partial(guards.prepare, url=url),
        refusals=(LeaseLostError,),
    )
    assert all({"held", "between"} <= {stop.label for stop in stops} for stops in report.strikes.values())


@pytest.mark.parametrize("stops", ["declared", "calls:sessionguard.locks,sessionguard.beating"])
def test_a_holder_that_is_interrupted_anywhere(stops: str, tmp_path: Path) -> None:
    """Nothing beats for it any more, its files are free, and its lease is given back or lapses."""
    clock, store = VirtualClock(), MemoryStore()
    with SessionGuard(store, tmp_path, clock=clock, sweep_interval=None) as guard:
        others = [other(guard, name) for name in ("bea", "cy")]
        session, heard = guard.create("ana"), list[Event]()
        guard.subscribe(heard.append)

        kept = []

        def hold() -> None:
            # Kept as by an application, so that what it forgets to give back is not given back by the collector.
            kept.append(guard.hold(session))
            with kept[-1] as held:
                guard.save(session, {"n": 1}, lock=held)
                held._renew()

        def check(point: InterruptPoint) -> None:
            require_still(guard, point)
            # What was given up is not renewed once more to find out that it is lost.
            assert [event for event in heard if isinstance(event, LeaseLost)] == [], point
            clock.advance(k.LEASE)
            assert store.leased_until(FindLease(session.id, clock())) is None, point
            guard.touch(session)
            ended = guard.end(guard.create("dora"))
            assert ended is not None

        hold()
        # Interrupted once more while it gives back, it leaves the descriptors to the collector, which closes them.
        report = interrupt_sweep(hold, others, stops=stops, check=check, in_use=lambda: gc.collect() * 0)
        assert report.points >= 5
        ended = guard.end(session)
        assert ended is not None
        assert not ended.removed.deferred


def require_still(guard: SessionGuard, point: InterruptPoint) -> None:
    """Nothing is renewed any more by the next beat."""
    for beat in list(guard._heart._beats.values()):
        assert beat.action() is False, f"a beat goes on after it was {point}"
    guard._heart._beats.clear()
