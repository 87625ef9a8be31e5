"""Who opens a session for a slot: the smallest service there is, wrong and right in many ways, and its race."""

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from sessionguard.core.points import point
from sessionguard.testing.history import History, Model, Operation, Verdict
from sessionguard.testing.mutants.table.rows import Make
from sessionguard.testing.schedule import Scenario

SLOT = "ana"


class OneSession(Model["str | None"]):
    """A slot: the first one who opens it gives the session that all others get."""

    def initial(self) -> str | None:
        """Nobody has opened it."""
        return None

    def step(self, state: str | None, operation: Operation) -> Iterable[str | None]:
        """The session that is there, or one's own."""
        holder = operation.args["new"] if state is None else state
        if operation.outcome == "info":
            return (state, holder)
        return (holder,) if operation.result == holder else ()


def first_requests(s: Scenario, make: Make, folder: Path) -> None:
    """Three callers open one slot, one of them twice."""
    service = make(folder)
    service.clear()

    def opened(new: str) -> None:
        with s.history.record(new, "open", new=new) as op:
            op.ok(service.open(SLOT, new))

    def legal(history: History) -> Verdict:
        return history.linearizable(OneSession)

    s.adopt(service)
    for name in ("one", "two", "three"):
        s.worker(name, *[partial(opened, name)] * (2 if name == "one" else 1))
    s.check(legal)


class LooksThenInserts:
    """Looks whether there is a session and stores one in a second step."""

    def __init__(self, folder: Path) -> None:
        self.rows: dict[str, str] = {}

    def clear(self) -> None:
        """Forget all."""
        self.rows.clear()

    def open(self, slot: str, new: str) -> str:
        """Give the session of the slot."""
        point("SELECT", slot, "r")
        if slot not in self.rows:
            point("INSERT", slot, "w")
            self.rows[slot] = new
        return self.rows[slot]


class InsertsIfAbsent(LooksThenInserts):
    """Looks and stores in one step."""

    def open(self, slot: str, new: str) -> str:
        point("INSERT OR IGNORE", slot, "w")
        return self.rows.setdefault(slot, new)


class LooksUnderALock(LooksThenInserts):
    """Looks and stores in two steps, under a mutex."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mutex = threading.Lock()

    def open(self, slot: str, new: str) -> str:
        with self.mutex:
            return super().open(slot, new)


class LooksTwice(LooksUnderALock):
    """Looks without the mutex first, and once more with it."""

    def open(self, slot: str, new: str) -> str:
        point("SELECT", slot, "r")
        return self.rows.get(slot) or super().open(slot, new)
