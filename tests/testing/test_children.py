"""Child processes: what they say is heard, how they fail is told in full, and none outlives its test."""

import itertools
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sessionguard.testing import ChildError, ChildProcess, RedisServer, at_once, in_children, killed_while, play_all
from sessionguard.testing.servers.redis_wire import RedisLine
from sessionguard.testing.servers.trees import is_gone

pytestmark = pytest.mark.processes


def echo(pipe: Connection, greeting: str) -> str:
    """Say the greeting, then what is heard."""
    pipe.send(greeting)
    return f"heard {pipe.recv()}"


def fail(pipe: Connection) -> None:
    """Raise."""
    raise LookupError("in the child")


def die(pipe: Connection) -> None:
    """End without a word."""
    os._exit(3)


def wait_for_ever(pipe: Connection) -> None:
    """Say the process id and wait."""
    pipe.send(os.getpid())
    signal.pause()


def count(pipe: Connection) -> None:
    """Count aloud without end."""
    for number in itertools.count():
        pipe.send(number)


@pytest.mark.parametrize("start", ["clean", "fork"])
def test_a_child_talks_and_returns(start: Any) -> None:
    """Its messages come in order, and last what it returned."""
    with ChildProcess(echo, "hello", start=start) as child:
        assert child.hear() == "hello"
        child.tell("you")
        assert child.hear() == "heard you"
        assert child.wait_for_end() == child.exit_code == 0
    with ChildProcess(echo, "hello", start=start) as child:
        child.tell("all")
        assert child.finish() == "heard all"


@pytest.mark.parametrize("hear", [ChildProcess.hear, ChildProcess.finish])
def test_what_a_child_raised_is_told_in_full(hear: Callable[[ChildProcess], object]) -> None:
    """Its traceback is in the error, and its exit code is that of a failed program."""
    with ChildProcess(fail) as child:
        with pytest.raises(ChildError, match=r"(?s)in fail.*LookupError: in the child"):
            hear(child)
        assert child.wait_for_end() == 1


def test_a_dead_or_silent_child_is_told() -> None:
    """A child that died is told with its exit code, one that says nothing after the patience, and both are gone."""
    with ChildProcess(die) as child, pytest.raises(ChildError, match="exit code 3"):
        child.hear()
    with ChildProcess(wait_for_ever) as child:
        pid = child.hear()
        with pytest.raises(ChildError, match=r"no message within 0\.05 s"):
            child.hear(0.05)
        with pytest.raises(ChildError, match=r"not end within 0\.05 s"):
            child.wait_for_end(0.05)
        assert child.exit_code is None
    assert is_gone(pid)
    assert child.exit_code == -signal.SIGKILL


def test_a_result_that_cannot_be_sent_is_told() -> None:
    """What cannot be pickled is an error with the reason, not silence."""
    with ChildProcess(lambda pipe: lambda: None, start="fork") as child, pytest.raises(ChildError, match="pickle"):
        child.hear()


def test_a_frozen_child_stands_still() -> None:
    """Nothing more comes while it is frozen; thawed it goes on where it stood."""
    with ChildProcess(count) as child:
        child.hear()
        child.freeze()
        # What was in the pipe before; an endless row would say that it goes on.
        assert any(not child.has_spoken(0.05) or child.hear() < 0 for _ in range(20_000))
        assert not child.has_spoken(0.1)
        child.thaw()
        assert child.has_spoken(10)


def play_together(pipe: Connection, number: int) -> float:
    """Give the instant at which all were ready."""
    at_once(pipe)
    return time.monotonic()


def test_play_all_starts_everybody_when_all_are_ready() -> None:
    """What they return comes in the order of the arguments."""
    began = time.monotonic()
    instants = play_all(play_together, (0,), (1,), (2,))
    assert began < min(instants) <= max(instants) < time.monotonic()
    with pytest.raises(ChildError, match="in the child"):
        play_all(fail, (), ())


def test_children_inherit_what_is_open(redis_server: RedisServer) -> None:
    """All play at once with the objects of the parent, and their results come in order."""
    inherited = {"pid": os.getpid()}
    ours, theirs = os.pipe()

    def meet(number: int) -> tuple[int, bool, int]:
        os.write(theirs, b"x")
        return number, os.getpid() != inherited["pid"], inherited["pid"]

    assert in_children(3, meet) == [(number, True, os.getpid()) for number in range(3)]
    assert os.read(ours, 10) == b"xxx"
    os.close(ours)
    os.close(theirs)


def test_every_failed_child_is_named() -> None:
    """Failures come together with their tracebacks; what hangs is killed when the patience is over."""
    pids: list[int] = []

    def misbehave(number: int) -> int:
        if number == 1:
            raise LookupError("first")
        if number == 2:
            signal.pause()
        return number

    with pytest.raises(ChildError) as caught:
        in_children(3, misbehave, patience_seconds=0.5)
    text = str(caught.value)
    assert "child 0" not in text
    assert "LookupError: first" in text
    pids = [int(line.split("(pid ")[1].split(")")[0]) for line in text.splitlines() if "(pid " in line]
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


def increment(acknowledge: Callable[[object], None], port: int, key: str) -> None:
    """Count in Redis, and acknowledge each count."""
    with RedisLine(port) as line:
        while True:
            acknowledge(line.command("INCR", key))


def stop_at_three(acknowledge: Callable[[object], None]) -> None:
    """Acknowledge three things and return."""
    for number in range(3):
        acknowledge(number)


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_killed_while_it_writes(redis_server: RedisServer, key_prefix: str, seconds: float) -> None:
    """T62: what was acknowledged before the kill is known, up to the last, and at most one more was done."""
    for number in range(5):
        key = f"{key_prefix}:{number}"
        acknowledged = killed_while(increment, redis_server.port, key, acknowledgements=5, seconds=seconds)
        assert acknowledged == list(range(1, len(acknowledged) + 1))
        assert len(acknowledged) >= 5
        assert int(redis_server.command("GET", key)) - len(acknowledged) in (0, 1)


def speak_and_touch(pipe: Connection, path: str) -> None:
    """Say three things, and only then make the file."""
    for number in range(3):
        pipe.send(number)
    Path(path).touch()
    signal.pause()


def test_what_was_said_before_death_is_not_lost(tmp_path: Path) -> None:
    """What nobody had heard yet comes with the kill."""
    with ChildProcess(speak_and_touch, str(tmp_path / "said")) as child:
        while not (tmp_path / "said").exists():
            assert child.exit_code is None
        assert child.heard_before_death() == [0, 1, 2]


def test_a_function_that_ends_was_not_killed() -> None:
    """Returning before the kill is an error: nothing was proved."""
    with pytest.raises(ChildError, match="returned before it was killed"):
        killed_while(stop_at_three, acknowledgements=3, seconds=10)
    with pytest.raises(ChildError, match="returned before it was killed"):
        killed_while(stop_at_three, acknowledgements=5)
