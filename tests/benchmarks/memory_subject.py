"""Subject: every call of the blocking guard on the memory store; there is nothing underneath to compare it with."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sessionguard import SessionGuard
from sessionguard.stores.memory import MemoryStore
from tests.benchmarks import guard_calls
from tests.benchmarks.measuring import Case
from tests.benchmarks.sqlite_subject import POLICIES, SCRIPTS


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject."""
    with SessionGuard(MemoryStore(), policy=POLICIES, sweep_interval=None) as guard:
        yield [
            Case("memory, blocking", name, partial(guard_calls.play, script, guard), calls=calls)
            for name, (script, calls) in SCRIPTS.items()
        ]
