"""Child processes that play workers: started afresh (spawn), kept from schedule to schedule, replaced when killed."""

import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Self

from sessionguard.testing.schedule.participant import serve

_PATIENCE_SECONDS = 5.0


class Child:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        # spawn: a forked child would inherit locks that threads of this process hold at that instant.
        context = multiprocessing.get_context("spawn")
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, number)

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self.signal(signal.SIGKILL)
        self.process.join(_PATIENCE_SECONDS)
        self.pipe.close()

    def dismiss(self) -> None:
        """Let it end; kill it if it does not."""
        with suppress(OSError):
            self.pipe.send(None)
        self.process.join(_PATIENCE_SECONDS)
        self.kill()


class Children:
    """As many children as the largest schedule needed."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        for child in self._children:
            child.dismiss()

    def take(self, count: int) -> list[Child]:
        """Give that many; those that are gone are replaced."""
        for number, child in enumerate(self._children):
            if not child.process.is_alive():
                child.kill()
                self._children[number] = Child()
        while len(self._children) < count:
            self._children.append(Child())
        return self._children[:count]
