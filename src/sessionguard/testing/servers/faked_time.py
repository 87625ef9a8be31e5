"""The wrong clock that servers see: libfaketime, told the offset through a file, so that it can jump while they run."""

import glob
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Final

from sessionguard.testing.servers.errors import EngineMissingError

LIBRARY_VARIABLE: Final = "SESSIONGUARD_LIBFAKETIME"
"""Names the library where it is in none of the usual places."""
_PLACES: Final = (
    "/usr/lib/*/faketime/libfaketime.so.1",
    "/usr/lib*/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
)
_open: Final[list["FakedTime"]] = []


def faketime_library() -> Path | None:
    """Give the library that shifts the clock of a server, or None where it is not installed."""
    named = os.environ.get(LIBRARY_VARIABLE)
    found = [named] if named else [path for pattern in _PLACES for path in sorted(glob.glob(pattern))]
    return Path(found[0]) if found else None


def environment() -> dict[str, str]:
    """Give the variables for a server that starts now: none while the clock is right.

    Raises:
        EngineMissingError: the clock is wrong, and libfaketime is not installed.
    """
    if not _open:
        return {}
    library = faketime_library()
    if library is None:
        remedy = f"install the package faketime, or name the library in {LIBRARY_VARIABLE}"
        raise EngineMissingError("libfaketime", "a server cannot be started under a wrong clock without it", remedy)
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(_open[-1].file),
        "FAKETIME_NO_CACHE": "1",
        # A clock that is set wrong does not change how long a second takes: waits go on as they are.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }


class FakedTime:
    """The offset of the servers that are started while this is open."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sg-clock-"))
        # A server may run as another user.
        self._folder.chmod(0o755)
        self.file = self._folder / "offset"
        _open.append(self)

    def set(self, offset: timedelta) -> None:
        """Servers that were started under this clock read it so from now on."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{offset.total_seconds():+f}s\n", encoding="ascii")
        new.chmod(0o644)
        new.replace(self.file)

    def close(self) -> None:
        """Servers that are started from now on see the right time; those that run see it, too."""
        _open.remove(self)
        shutil.rmtree(self._folder, ignore_errors=True)
