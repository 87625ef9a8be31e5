"""A place: where the guards of one trace keep their sessions and files, with a clock that only the machine moves."""

import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sessionguard.testing.schedule.clock import VirtualClock

T = TypeVar("T")

_PROCESS: Final = secrets.token_hex(3)
_numbers: Final = itertools.count(1)
_IN_MEMORY: Final = "/dev/shm"  # each place makes a folder of its own there, as in any other
_ENOUGH_BYTES: Final = 64 * 1024 * 1024


def _parent() -> str | None:
    """Give where folders are made. A disk that must write through makes most of a run a wait; `TMPDIR` decides."""
    if tempfile.tempdir is not None or any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")):
        return None
    if not os.access(_IN_MEMORY, os.W_OK | os.X_OK):
        return None
    return _IN_MEMORY if shutil.disk_usage(_IN_MEMORY).free >= _ENOUGH_BYTES else None


class Place:
    """Where a guard is made; a function that makes guards is given one, and makes each from it alone.

    Guards of the same place share their sessions and files, guards of two places share nothing.
    """

    def __init__(self) -> None:
        self.name = f"t{os.getpid()}_{_PROCESS}_{next(_numbers)}"
        """A name that no other place has: for a key prefix, a schema, a database."""
        self.folder = Path(tempfile.mkdtemp(prefix="sessionguard-", dir=_parent()))
        """An empty folder, in memory where the system has one; it is gone when the trace is over."""
        self.workspaces = self.folder / "workspaces"
        """For `workspaces=`, if files are to be tried, too."""
        self.clock = VirtualClock()
        """For `clock=`."""
        self._kept: dict[Callable[[], Any], Any] = {}

    def once(self, make: Callable[[], T]) -> T:
        """Give what `make` makes, the same to every guard of this place; it is closed with the place.

        For a store whose sessions live in one object: `place.once(MemoryStore)`.
        """
        if make not in self._kept:
            self._kept[make] = make()
        kept: T = self._kept[make]
        return kept

    @property
    def kept(self) -> tuple[Any, ...]:
        """What `once` has made."""
        return tuple(self._kept.values())

    def close(self) -> None:
        """Close what is kept, and remove the folder."""
        kept, self._kept = list(self._kept.values()), {}
        try:
            for one in kept:
                if callable(getattr(one, "close", None)):
                    one.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
