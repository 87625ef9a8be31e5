"""The no-op hook: it costs next to nothing, and whoever is installed hears every point."""

import asyncio
import sys
import threading
import timeit
from contextlib import suppress

import pytest

from sessionguard.core import points
from sessionguard.core.points import apoint, installed, point
from sessionguard.errors import InvalidArgumentError


def test_a_point_does_nothing_by_itself() -> None:
    """Without a harness a point, awaited or not, is passed."""
    point("SELECT", "alice", "r")
    asyncio.run(apoint("SELECT", "alice", "r"))


def test_an_installed_hook_hears_every_point() -> None:
    """The hook is called with what the code says about its next access."""
    heard: list[object] = []

    async def hear(*said: object) -> None:
        heard.append(said)

    with installed(lambda *said: heard.append(said), hear):
        point("SELECT", "alice", "r")
        asyncio.run(apoint("lock", "alice", "acq"))
    point("INSERT", "alice", "w")
    assert heard == [("SELECT", "alice", "r"), ("lock", "alice", "acq")]


def test_leaving_a_block_brings_the_hook_before_back() -> None:
    """Harnesses may be nested; also an error puts the outer one back."""
    heard: list[str] = []
    with installed(lambda label, *_: heard.append(f"outer {label}")):
        with suppress(ZeroDivisionError), installed(lambda label, *_: heard.append(f"inner {label}")):
            point("a", "x", "r")
            raise ZeroDivisionError
        point("b", "x", "r")
    point("c", "x", "r")
    assert heard == ["inner a", "outer b"]


def test_blocks_that_overlap_leave_nothing_behind() -> None:
    """Left in another order than they were entered, each takes its own hook with it; the newest that is left counts."""
    heard: list[str] = []
    blocks = [installed(lambda label, *_, name=name: heard.append(f"{name} {label}")) for name in ("first", "second")]
    for block in blocks:
        block.__enter__()
    blocks[0].__exit__(None, None, None)
    point("a", "x", "r")
    blocks[1].__exit__(None, None, None)
    point("b", "x", "r")
    assert heard == ["second a"]


def test_a_hook_can_be_removed_before_its_block_is_left() -> None:
    """Whoever installed it may take it away from outside; leaving the block then changes nothing more."""
    heard: list[str] = []
    with installed(lambda label, *_: heard.append(f"outer {label}")):
        with installed(lambda label, *_: heard.append(f"inner {label}")) as remove:
            remove()
            remove()
            point("a", "x", "r")
        point("b", "x", "r")
    point("c", "x", "r")
    assert heard == ["outer a", "outer b"]


def test_blocks_in_many_threads_leave_nothing_behind() -> None:
    """However the entering and leaving of several threads interleaves, no hook is there afterwards."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def enter_and_leave() -> None:
        for _ in range(500):
            with installed(lambda *_: None), installed(None):
                pass

    threads = [threading.Thread(target=enter_and_leave) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert points._hook is None
    assert len(points._entries) == 1


@pytest.mark.parametrize("mode", ["lamp", "write", "", "R"])
def test_a_mode_that_is_none_is_refused_where_somebody_listens(mode: str) -> None:
    """Swapped with the resource, or misspelt, it would hide a race; without a harness nothing is looked at."""

    async def hear(*_: object) -> None:
        heard.append(mode)

    heard: list[str] = []
    point("SELECT", "r", mode)  # type: ignore[arg-type]
    with installed(lambda *_: heard.append(mode), hear):
        with pytest.raises(
            InvalidArgumentError, match=r"point\('SELECT', ...\) takes a label, a resource, and then a mode"
        ):
            point("SELECT", "r", mode)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="mode"):
            asyncio.run(apoint("SELECT", "r", mode))  # type: ignore[arg-type]
    assert heard == []


@pytest.mark.timing
def test_a_point_costs_less_than_50_ns_when_off() -> None:
    """What it costs beyond a call of a function that does nothing is a small part of that call; in all below 50 ns.

    The time is the best of many, and the bound is generous: it has to hold on a machine that is busy with other things.
    """
    namespace = {"point": points.point, "nothing": lambda label, resource, mode: None}

    def nanoseconds(call: str) -> float:
        return min(timeit.repeat(call, globals=namespace, number=20_000, repeat=50)) / 20_000 * 1e9

    empty = nanoseconds("nothing('SELECT', 'alice', 'r')")
    assert nanoseconds("point('SELECT', 'alice', 'r')") < max(50.0, 2 * empty)
