"""Several processes that race against each other, each with a team of threads; what fails in them is told in full."""

import multiprocessing
import pickle
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Self

from sessionguard.core.commands import Identify
from sessionguard.core.driving import Flow, perform, run
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.contracts.team import RaceError, Team, Trouble

MakeFlow = Callable[[Stage, Any, int], Flow[Any]]
"""Makes the flow of one caller from a stage, the round's subject and the caller's number; it must be picklable."""

_REMEDY = (
    "the store under test says that other processes reach it, so what makes it is sent to them, but it cannot be "
    "pickled; let make_store return functools.partial(MyStore, path) instead of a lambda, or declare "
    "Capabilities(processes=False)"
)


class Crew:
    """A fixed number of child processes; each plays a round with all its callers and sends back their results."""

    def __init__(self, make_store: Callable[[], Any], make_flow: MakeFlow, size: int, callers: int, patience: float):
        self._size, self._callers, self._patience = size, callers, patience
        try:
            self._order = pickle.dumps((make_store, make_flow))
        except Exception as error:
            raise TypeError(_REMEDY) from error
        self._children: list[BaseProcess] = []
        self._pipes: list[Connection] = []

    def __enter__(self) -> Self:
        # spawn: a forked child would inherit locks that threads of this process hold at that instant.
        context = multiprocessing.get_context("spawn")
        # Kept: its semaphores are gone as soon as no one in this process refers to them.
        self._start = context.Barrier(self._size)
        for number in range(self._size):
            ours, theirs = context.Pipe()
            arguments = (theirs, self._start, self._order, number, self._callers, self._patience)
            child = context.Process(target=serve, args=arguments, name=f"process {number}", daemon=True)
            child.start()
            theirs.close()
            self._children.append(child)
            self._pipes.append(ours)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
            pipe.close()
        for child in self._children:
            child.join(timeout=5.0)
            if child.is_alive():
                child.kill()
                child.join()

    def play(self, subject: Any) -> list[Any]:
        """Play one round about `subject` in all processes at once; the results come in the order of the callers.

        Raises:
            RaceError: a caller raised, or a process died or did not answer in time.
        """
        for pipe in self._pipes:
            pipe.send((subject,))
        results: list[Any] = []
        troubles: list[Trouble] = []
        for number, pipe in enumerate(self._pipes):
            answer = self._receive(number, pipe)
            if isinstance(answer, Trouble):
                troubles.append(answer)
            else:
                results.extend(answer)
        if troubles:
            raise RaceError(troubles)
        return results

    def _receive(self, number: int, pipe: Connection) -> Any:
        try:
            if pipe.poll(self._patience):
                return pipe.recv()
        except (EOFError, ConnectionError):
            self._children[number].join(timeout=5.0)
            return Trouble(f"process {number}", f"it died with exit code {self._children[number].exitcode}")
        return Trouble(f"process {number}", f"no answer within {self._patience} s")


def serve(pipe: Connection, start: threading.Barrier, order: bytes, number: int, callers: int, patience: float) -> None:
    """Play rounds in a child process until told to stop."""
    try:
        make_store, make_flow = pickle.loads(order)
        store = make_store()
        try:
            stage = Stage(run(perform(Identify()), store), store)
            with Team([store], callers, patience, number * callers) as team:
                while (message := pipe.recv()) is not None:
                    start.wait(patience)
                    pipe.send(
                        _round(team, stage, make_flow, message[0], range(number * callers, (number + 1) * callers))
                    )
        finally:
            store.close()
    except EOFError:
        return
    except BaseException:
        pipe.send(Trouble(f"process {number}", traceback.format_exc()))


def _round(team: Team, stage: Stage, make_flow: MakeFlow, subject: Any, numbers: Sequence[int]) -> Any:
    try:
        return team.play([lambda n=n: make_flow(stage, subject, n) for n in numbers])  # type: ignore[misc]
    except RaceError as error:
        return error.troubles[0]
