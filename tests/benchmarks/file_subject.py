"""Subject: every call of the blocking guard on files, against reading or durably replacing one such file."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from sessionguard import SessionGuard
from sessionguard.stores.file import FileStore
from tests.benchmarks import guard_calls
from tests.benchmarks.guard_calls import DATA
from tests.benchmarks.measuring import Case, Side, seconds
from tests.benchmarks.sqlite_subject import POLICIES, SCRIPTS

READS: Final = frozenset({"load", "load, unknown token", "get", "get_or_create, hit"})
MANY: Final = 100


class BareFile:
    """One JSON file in a folder; each method is one bare side."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._text = json.dumps({"data": DATA, "padding": "x" * 600}).encode()
        (folder / "session.json").write_bytes(self._text)

    def read(self, n: int) -> float:
        """Open, read, parse and close the file."""
        path = self._folder / "session.json"

        def run() -> None:
            for _ in range(n):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                json.loads(os.read(descriptor, 1 << 16))
                os.close(descriptor)

        return seconds(run)

    def replace(self, n: int) -> float:
        """Write another file, flush it, give it the name of the first, flush the folder."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

        def run() -> None:
            for _ in range(n):
                new = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=folder)
                os.write(new, self._text)
                os.fsync(new)
                os.close(new)
                os.rename("new", "session.json", src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)

        try:
            return seconds(run)
        finally:
            os.close(folder)

    def replace_many(self, n: int) -> float:
        """The same, a hundred times a call."""
        return self.replace(n * MANY)


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject; their files are in `folder`."""
    bare = BareFile(folder / "bare")
    with SessionGuard(FileStore(folder / "sessions"), policy=POLICIES, sweep_interval=None) as guard:
        yield [
            Case("files, blocking", name, partial(guard_calls.play, script, guard), *_underneath(bare, name), calls)
            for name, (script, calls) in SCRIPTS.items()
        ]


def _underneath(bare: BareFile, name: str) -> tuple[Side, str]:
    if name in READS:
        return bare.read, "read of a file"
    return (bare.replace_many, "100 replaced files") if name == "sweep of 100" else (bare.replace, "replaced file")
