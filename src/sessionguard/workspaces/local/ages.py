"""Instants to judge the age of files by, which do not jump ahead with the clock of the machine.

Whoever sets that clock a month ahead, if only for a moment, would else have everything removed that is kept for a
month. So time counts as passed only as far as two clocks agree on it: that one, and the one that the kernel keeps since
it was started and nobody can set (CLOCK_BOOTTIME, see clock_gettime(2)). What both said last is kept in `.clock`.
"""

import json
import os
import time
from contextlib import suppress
from typing import Any, Final

from attrs import frozen

from sessionguard import booting
from sessionguard.workspaces.local.deployment import Deployment
from sessionguard.workspaces.local.descriptors import open_or_make_file
from sessionguard.workspaces.local.layout import CLOCK
from sessionguard.workspaces.local.lines import read_line, write_line

_WRITTEN_EVERY: Final = 60.0
"""Seconds. What passes between is known from the clocks alone."""


@frozen
class Readings:
    """What the clocks say, in seconds."""

    boot: str
    """Names the run of the machine that `running` belongs to."""
    running: float
    """Since the machine was started."""
    wall: float
    """Since 1970, by the clock that can be set."""


@frozen
class Ages:
    """What is known of time at some readings."""

    at: Readings
    sure: float
    """An instant that goes on only as far as time has surely passed: what was younger by this, was younger in truth."""
    steady: float
    """An instant to compare the times of files with: the wall clock, but for jumps ahead in this run of the machine."""

    @classmethod
    def begin(cls, now: Readings) -> "Ages":
        """Give what is known where nothing was kept."""
        return cls(now, now.wall, now.wall)

    def advance(self, now: Readings) -> "Ages":
        """Give what is known at later readings."""
        is_same_run = now.boot == self.at.boot
        # After a restart at least so much has passed as the machine runs. How long it was off, nobody knows for sure.
        ran = now.running - self.at.running if is_same_run else now.running
        passed = max(0.0, min(ran, now.wall - self.at.wall))
        steady = min(now.wall, self.steady + passed) if is_same_run else now.wall
        return Ages(now, self.sure + passed, steady)

    def text(self) -> bytes:
        """Give the line that `read` takes."""
        kept = {"boot": self.at.boot, "running": self.at.running, "wall": self.at.wall}
        return json.dumps(kept | {"sure": self.sure, "steady": self.steady}).encode()

    @classmethod
    def read(cls, text: bytes | None) -> "Ages | None":
        """Give what was kept as `text`; None if it is not whole."""
        try:
            kept: dict[str, Any] = json.loads(text or b"")
            at = Readings(str(kept["boot"]), float(kept["running"]), float(kept["wall"]))
            return cls(at, float(kept["sure"]), float(kept["steady"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def read_clocks() -> Readings:
    """Look at the clocks of this machine."""
    return Readings(booting.this_boot().hex(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def ages_now(deployment: Deployment) -> Ages:
    """Give what is known of time now, and keep it for the next who asks."""
    now = read_clocks()
    with deployment.made() as folder:
        descriptor = open_or_make_file(CLOCK, folder)
        try:
            kept = Ages.read(read_line(descriptor))
            ages = Ages.begin(now) if kept is None else kept.advance(now)
            if kept is None or not _is_recent(kept.at, now):
                # Unlocked: what two write at once is one of both, or neither. On a full disk the former will do.
                with suppress(OSError):
                    write_line(descriptor, ages.text())
        finally:
            os.close(descriptor)
    return ages


def _is_recent(kept: Readings, now: Readings) -> bool:
    passed = (now.running - kept.running, now.wall - kept.wall)
    return kept.boot == now.boot and all(0 <= seconds < _WRITTEN_EVERY for seconds in passed)
