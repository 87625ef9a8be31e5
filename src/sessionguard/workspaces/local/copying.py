"""Fill a file of a workspace from another file inside of the kernel, where both are plain files."""

import io
import os
from stat import S_ISREG
from typing import Final, TypeGuard

from sessionguard.workspaces.local.writing import FileWriter

_AT_ONCE_BYTES: Final = 8 * 1024 * 1024


def copy_by_the_kernel(source: object, writer: FileWriter) -> int:
    """Copy what the kernel can from where `source` stands, leave it where that ends, and give the number of bytes."""
    if not _is_plain(source):
        return 0
    start = source.tell()
    done = 0
    try:
        while count := writer.take_from(source.fileno(), start + done, _AT_ONCE_BYTES):
            done += count
    except OSError:
        # While the file is good, a file system, a kernel or a filter cannot do it for these two; they can be read.
        if writer.closed:
            raise
    source.seek(start + done)
    return done


def _is_plain(source: object) -> TypeGuard[io.BufferedReader]:
    # These very classes: another may have the descriptor of what it reads from and give something else, as gzip does.
    if type(source) is not io.BufferedReader or type(source.raw) is not io.FileIO:
        return False
    return S_ISREG(os.fstat(source.fileno()).st_mode)
