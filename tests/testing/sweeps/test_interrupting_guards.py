"""T04 on the guard with every store: interrupted in its thread at every stop, a call is done or not, and others too."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from sessionguard import SessionGuard, open_store
from sessionguard.stores.contract import Store
from sessionguard.testing import VirtualClock
from sessionguard.testing.history import History, SessionModel, recorded
from sessionguard.testing.sweeps import Other, interrupt_sweep
from tests.testing.sweeps.guarded import STORES, Place, canary, place_of

CALLS = ("get_or_create", "save", "end", "workspace")


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each store in turn."""
    with place_of(request.param, tmp_path, request) as place:
        yield place


def calls_of(guard: SessionGuard, name: str) -> Mapping[str, Callable[[], Any]]:
    """Give the calls."""
    fresh = itertools.count()
    ana = guard.get_or_create(f"ana for {name}")

    def write() -> None:
        with guard.workspace(ana) as workspace:
            workspace.write("text", "new")

    return {
        # One owner: the first call to a shard makes its folder, or loads its scripts, and so comes to more stops.
        "get_or_create": lambda: guard.get_or_create(name, external_id=f"tab-{next(fresh)}"),
        "save": lambda: guard.save(ana, {"n": next(fresh)}),
        "end": lambda: guard.end(guard.create(name)),
        "workspace": write,
    }


def other(guard: SessionGuard, name: str) -> Other:
    """Give somebody with a session, who asks for it by its token."""
    token = str(guard.get_or_create(name, data={"canary": name}).token)
    return Other(name, lambda: canary(guard.load(token)), (name, name))


def swept(place: Place, folder: Path, stops: str, names: tuple[str, ...], descriptors: int | None) -> int:
    """Give how many interruptions these calls had."""
    store, clock = cast("Store", open_store(place.url)), VirtualClock()
    total = 0
    with SessionGuard(store, clock=clock, sweep_interval=None) as others_guard:
        others = [other(others_guard, name) for name in ("bea", "cy")]
        for name in names:
            history = History()
            with SessionGuard(recorded(store, history, name), folder, clock=clock, sweep_interval=None) as guard:
                call = calls_of(guard, name)[name]
                # Only the first one makes folders and loads scripts, and only the fifth prepares statements.
                for _ in range(6):
                    call()
                total += interrupt_sweep(
                    call,
                    others,
                    stops=stops,
                    history=history,
                    model=SessionModel,
                    descriptors=descriptors,
                    patience_seconds=10,
                ).points
    store.close()
    return total


def test_t04_calls_that_are_interrupted_at_their_points(place: Place, tmp_path: Path) -> None:
    """After each interruption two others are served right by the same store, nothing is left, the history is legal."""
    # Where the store keeps connections by thread, each of the two threads of the sweep has its own.
    descriptors = 8 if place.kind == "sqlite" else 3 if place.has_network else 0
    assert swept(place, tmp_path / "workspaces", "declared", ("get_or_create", "save", "end"), descriptors) >= 3


@pytest.mark.parametrize("place", ["file", "sqlite"], indirect=True)
def test_t04_calls_that_are_interrupted_at_their_system_calls(place: Place, tmp_path: Path) -> None:
    """The same after every call that reaches a file: nobody waits for a lock, and no file is half there."""
    # A descriptor that was just given, and is not yet in any variable, is lost in any Python program.
    assert swept(place, tmp_path / "workspaces", "io:sessionguard", CALLS, None) >= 20
