"""What is wrong with a directory that is to hold workspaces, and the remedy."""

import os
from collections.abc import Iterator
from typing import Final

from sessionguard.core.findings import Finding
from sessionguard.errors import ConfigurationError
from sessionguard.file_systems import current_file_system, is_network
from sessionguard.workspaces.local.beneath import kernel_call
from sessionguard.workspaces.local.deployment import open_checked_root

_LITTLE: Final = 0.05


def examine(root: str) -> list[Finding]:
    """Look at the directory, at the file system that holds it, and at what the kernel offers; change nothing."""
    if not os.path.lexists(root):
        remedy = "name the folder that the application uses, if this is not the one"
        return [Finding("warning", "workspaces", f"{root} does not exist; it is made when it is first used", remedy)]
    return [*_of_root(root), *_of_file_system(root), _of_kernel()]


def _of_root(root: str) -> Iterator[Finding]:
    try:
        descriptor = open_checked_root(root)
    except ConfigurationError as error:
        yield Finding("problem", "workspaces", str(error), "nothing is read or written there until then")
        return
    try:
        if os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor):
            yield Finding("ok", "workspaces", f"{root} belongs to this user, and nobody else may write to it")
        else:
            remedy = "give this user the right to write to it, or mount it writable"
            yield Finding("problem", "workspaces", f"{root} may not be written to", remedy)
    finally:
        os.close(descriptor)


def _of_file_system(root: str) -> Iterator[Finding]:
    kind = current_file_system(root)
    if is_network(kind):
        remedy = "use a local disk, or s3://bucket/prefix for files that several machines share"
        yield Finding("problem", "file system", f"{kind} is reached over a network: locks there do not hold", remedy)
    found = os.statvfs(root)
    for what, left, whole in (("room", found.f_bavail, found.f_blocks), ("inodes", found.f_favail, found.f_files)):
        # Some file systems have no fixed number of inodes, and say 0.
        if whole and left < _LITTLE * whole:
            remedy = "sweep, or make more: a file that does not fit is refused, and what was there stays"
            yield Finding("warning", what, f"{left / whole:.0%} of the {what} is left", remedy)


def _of_kernel() -> Finding:
    if kernel_call() is not None:
        return Finding("ok", "openat2", "the kernel resolves each name below the directory of its session")
    remedy = "nothing need be done; Linux 5.6, or a seccomp filter that allows openat2, does it in one call"
    return Finding("ok", "openat2", "missing, so names are walked from directory to directory by descriptor", remedy)
