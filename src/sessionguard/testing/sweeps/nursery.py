"""A clean process that has everything imported and forks a child for each part of a run: about a millisecond each."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, Final

from attrs import evolve

from sessionguard.core import points
from sessionguard.testing.faults.children import ChildProcess
from sessionguard.testing.schedule.clock import BEGINNING
from sessionguard.testing.sweeps.clock import SharedClock
from sessionguard.testing.sweeps.errors import SweepError
from sessionguard.testing.sweeps.forking import Fork, Tell, fork
from sessionguard.testing.sweeps.orders import Ended, Jump, Order, Wake
from sessionguard.testing.sweeps.stops import Stop, Stops

_SLACK_SECONDS: Final = 30.0
"""The first order imports what it plays, and a late child is shown before it is killed."""
_STACKS_SECONDS: Final = 1.0
"""For showing where a late child of the child stands."""


class Nursery:
    """The process; what is stopped in it stays so until it is woken, or the clock is set back for the next run."""

    def __init__(self) -> None:
        self._child = ChildProcess(_serve)

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def play(self, order: Order) -> Ended:
        """Give how a part ended, or that it was stopped."""
        return self._ask(evolve(order, environment=dict(os.environ)), order.patience_seconds * 2)

    def wake(self, patience_seconds: float) -> Ended:
        """Let what was stopped go on, and give how it ended."""
        return self._ask(Wake(patience_seconds), patience_seconds)

    def jump(self, jump: Jump) -> None:
        """Move the clock of all parts."""
        self._ask(jump, 0.0)

    def _ask(self, order: Order | Wake | Jump, patience_seconds: float) -> Ended:
        self._child.tell(order)
        ended: Ended = self._child.hear(patience_seconds + _SLACK_SECONDS)
        return ended


@contextmanager
def a_nursery() -> Iterator[Nursery]:
    """Give a nursery that nobody else uses meanwhile: a kept one, whose imports are done, or a new one."""
    # Modules are found by the path, and a forked child must not talk into its parent's pipe.
    key = (os.getpid(), os.getcwd(), tuple(sys.path))
    nursery = _take(key)
    try:
        yield nursery
        # Nobody is stopped any more, however the sweep ended.
        nursery.jump(Jump(None))
    except SweepError:
        nursery.jump(Jump(None))
        _keep(key, nursery)
        raise
    except BaseException:
        nursery.close()
        raise
    _keep(key, nursery)


_Key = tuple[int, str, tuple[str, ...]]
_kept: Final[dict[_Key, Nursery]] = {}
"""One at most: the next sweep mostly has the same folder and path, and any other one takes its place."""


def _take(key: _Key) -> Nursery:
    """Give the kept one if it fits, or a new one; what does not fit is closed."""
    kept = _kept.pop(key, None)
    _close_all()
    return kept or Nursery()


def _keep(key: _Key, nursery: Nursery) -> None:
    _close_all()
    _kept[key] = nursery


@atexit.register
def _close_all() -> None:
    while _kept:
        (pid, *_), nursery = _kept.popitem()
        if pid == os.getpid():
            nursery.close()


def _serve(pipe: Connection) -> None:
    clock, stopped = SharedClock(), list[Fork]()
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        match order:
            case Jump(by=by):
                if by is None:
                    _end_all(stopped)
                    clock.set(BEGINNING)
                else:
                    clock.advance(by)
                ended = Ended("returned")
            case Wake(patience_seconds=patience_seconds):
                child = stopped.pop()
                child.wake()
                ended = child.wait(patience_seconds)
            case _:
                ended = _play(order, clock, stopped)
        pipe.send(ended)


def _end_all(stopped: list[Fork]) -> None:
    while stopped:
        stopped.pop().kill()


def _play(order: Order, clock: SharedClock, stopped: list[Fork]) -> Ended:
    is_to_stop = order.strike is not None and order.strike.fault == "pause"
    child = fork(_Body(order, clock))
    # Who is forked waits for its child, which may take all of its time.
    is_to_fork = order.strike is not None and order.strike.fault == "fork"
    patience_seconds = order.patience_seconds * 2 + _STACKS_SECONDS if is_to_fork else order.patience_seconds
    ended = child.wait(patience_seconds, until_stopped=is_to_stop)
    if ended.how == "stopped":
        stopped.append(child)
    _import_all(ended.modules)
    return ended


def _import_all(modules: Iterable[str]) -> None:
    """What one child had to import, the next ones have already."""
    for name in modules:
        # Some are made by the import of others, and cannot be imported by their names.
        with suppress(Exception):
            import_module(name)


class _Body:
    """What a child does: plays a part, and strikes itself where it is told to."""

    def __init__(self, order: Order, clock: SharedClock) -> None:
        self._order, self._clock = order, clock
        self._run = evolve(order.run, clock=clock)
        self._tell: Tell = lambda message: None
        self._fork: Ended | None = None

    def __call__(self, tell: Tell) -> Ended:
        self._tell = tell
        order = self._order
        os.environ.clear()
        os.environ.update(order.environment)
        with self._clock.as_wall_clock() if order.wall_clock else nullcontext():
            before = set(sys.modules)
            if not order.counts:
                value = order.function(self._run)
                return Ended("returned", value, modules=tuple(set(sys.modules) - before))
            stops = Stops(order.stops, self._on_stop)
            value = stops.play(self._operate)
            stops.end()
            imported = tuple(set(sys.modules) - before)
            return Ended("returned", value, stops=stops.count, fork=self._fork, modules=imported)

    def _operate(self) -> Any:
        return self._order.function(self._run)

    def _on_stop(self, stop: Stop) -> None:
        strike = self._order.strike
        if strike is None or not strike.is_at(stop):
            return
        self._tell(stop)
        _STRIKES[strike.fault](self)

    def kill(self) -> None:
        """End this process at once."""
        os.kill(os.getpid(), signal.SIGKILL)

    def pause(self) -> None:
        """Stop this process where it stands."""
        os.kill(os.getpid(), signal.SIGSTOP)

    def jump(self) -> None:
        """Let the clock jump."""
        assert self._order.strike is not None
        self._clock.advance(self._order.strike.by)

    def fork(self) -> None:
        """Let another thread fork this process in the middle of what this thread does, and wait for the child's end."""
        # In another thread: with it, whatever this one holds has no holder in the child.
        thread = threading.Thread(target=self._fork_and_wait)
        thread.start()
        thread.join()

    def _fork_and_wait(self) -> None:
        child = fork(lambda tell: Ended("returned", self._play_in_fork()))
        self._fork = child.wait(self._order.patience_seconds)

    def _play_in_fork(self) -> Any:
        assert self._order.in_fork is not None
        # The stops are those of the operation; the child's own are not counted.
        sys.setprofile(None)
        with points.installed(None):
            return self._order.in_fork(self._run)


_STRIKES: Final[dict[str, Callable[[_Body], None]]] = {
    "kill": _Body.kill,
    "pause": _Body.pause,
    "jump": _Body.jump,
    "fork": _Body.fork,
}
