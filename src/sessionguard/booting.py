"""Which run of the machine this is: what was not flushed to the disk did not outlive the one before."""

import functools
from pathlib import Path
from typing import Final

UNKNOWN_BOOT: Final = bytes(16)
"""Where the system does not tell, a restart goes unnoticed; who needs to notice it does what is safe without."""


@functools.cache
def this_boot() -> bytes:
    """Give what tells this run of the machine from every other, 16 bytes; `UNKNOWN_BOOT` where the system tells none.

    The source is boot_id of Linux, see random(4).
    """
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError):
        return UNKNOWN_BOOT
