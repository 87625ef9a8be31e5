"""The account of one owner on disk: what each session has of his quota, and the sum.

`<key>/<session_id>` holds what that session has, so that one of many changes without the others being read, and
`<key>/total` the sum. Whoever is killed between the two leaves a sum that says too much, never too little.
"""

import json
import os
from contextlib import suppress
from typing import Final

from sessionguard import booting
from sessionguard.workspaces.identities import is_session_id
from sessionguard.workspaces.local.descriptors import look, names_in, open_for_reading, open_or_make_file
from sessionguard.workspaces.local.lines import read_line, write_line
from sessionguard.workspaces.quota import NOTHING, OwnerQuota, Usage

TOTAL: Final = "total"


class Account:
    """The folder of one owner, for whoever keeps it."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        total = _read(TOTAL, folder, booting.this_boot().hex())
        self.is_readable = total is not None
        self.total = total or NOTHING

    def sessions(self) -> list[str]:
        """Give the sessions that have a part of it."""
        return [name for name in names_in(self._folder) if is_session_id(name)]

    def told(self, session_id: str) -> Usage:
        """Give what was entered for a session; nothing if it has no part of it."""
        return _read(session_id, self._folder) or NOTHING

    def tell(self, session_id: str, usage: Usage) -> None:
        """Enter what a session has now, instead of what it had."""
        is_new = look(session_id, self._folder) is None
        former = self.told(session_id)
        later = _sum(self.total, _difference(usage, former))
        # First as much as either entry may say, then the entry, then what is right.
        self._write_total(Usage(max(later.bytes, self.total.bytes), max(later.files, self.total.files)))
        _write(session_id, self._folder, usage)
        if is_new:
            # Who is a member is the one thing that no recount can find again after a power cut.
            os.fsync(self._folder)
        self._write_total(later)

    def drop(self, session_id: str) -> None:
        """Take a session out, and give its part back."""
        former = self.told(session_id)
        with suppress(FileNotFoundError):
            os.unlink(session_id, dir_fd=self._folder)
            self._write_total(_sum(self.total, _difference(NOTHING, former)))

    def replace(self, counted: dict[str, Usage]) -> None:
        """Enter what was counted anew, of all sessions that have a part of it."""
        # Before anything else: a sum of half of them must not be believed after a crash.
        with suppress(FileNotFoundError):
            os.unlink(TOTAL, dir_fd=self._folder)
        self.is_readable = False
        for session_id in set(self.sessions()) - set(counted):
            os.unlink(session_id, dir_fd=self._folder)
        for session_id, usage in counted.items():
            _write(session_id, self._folder, usage)
        os.fsync(self._folder)
        self._write_total(Usage(sum(u.bytes for u in counted.values()), sum(u.files for u in counted.values())))

    def excess(self, quota: OwnerQuota, session_id: str, own: Usage, more: Usage) -> tuple[int, int, str] | None:
        """Give the limit that `more` would break beside what the session has, what there would be, and the unit."""
        others = _difference(self.total, self.told(session_id))
        wanted = _sum(_sum(others, own), more)
        if quota.bytes is not None and more.bytes and wanted.bytes > quota.bytes:
            return quota.bytes, wanted.bytes, "bytes"
        if quota.files is not None and more.files and wanted.files > quota.files:
            return quota.files, wanted.files, "files"
        return None

    def _write_total(self, total: Usage) -> None:
        total = Usage(max(0, total.bytes), max(0, total.files))
        if not self.is_readable or total != self.total:
            _write(TOTAL, self._folder, total)
        self.is_readable, self.total = True, total


def _read(name: str, folder: int, epoch: str | None = None) -> Usage | None:
    """Give what an entry says, or None if there is none to believe."""
    try:
        descriptor = open_for_reading(name, folder)
    except FileNotFoundError:
        return None
    try:
        kept = json.loads(read_line(descriptor) or b"")
        # What was not flushed to the disk did not outlive the run of the machine before this one.
        return Usage(int(kept["bytes"]), int(kept["files"])) if epoch in (None, kept["epoch"]) else None
    except (ValueError, KeyError, TypeError):
        return None
    finally:
        os.close(descriptor)


def _write(name: str, folder: int, usage: Usage) -> None:
    kept = {"bytes": usage.bytes, "files": usage.files, "epoch": booting.this_boot().hex()}
    descriptor = open_or_make_file(name, folder)
    try:
        write_line(descriptor, json.dumps(kept, separators=(",", ":")).encode())
    finally:
        os.close(descriptor)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(one.bytes + other.bytes, one.files + other.files)


def _difference(one: Usage, other: Usage) -> Usage:
    return Usage(one.bytes - other.bytes, one.files - other.files)
