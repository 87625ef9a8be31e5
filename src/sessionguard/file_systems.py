"""Which file system holds a path, and which of them are reached over a network, where locks cannot be trusted."""

import os
from pathlib import Path
from typing import Final

# As Linux names them. SQLite's WAL needs shared memory between all its users, and locks there are advisory at best:
# https://sqlite.org/wal.html, https://sqlite.org/howtocorrupt.html section 2. On NFS, flock is a lease that may lapse.
_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "ceph", "glusterfs", "lustre", "gfs2", "ocfs2", "beegfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.davfs2"}
)


def file_system_of(path: str, mountinfo: str) -> str:
    """Give the type of the file system that holds `path`, by the text of /proc/self/mountinfo; "" if unknown."""
    folder = os.path.realpath(path)
    best, found = -1, ""
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 5:
            continue
        mount_point = fields[4].replace("\\040", " ")
        inside = folder == mount_point or folder.startswith(mount_point.rstrip("/") + "/")
        if inside and len(mount_point) >= best:
            best, found = len(mount_point), right.split(" ")[0]
    return found


def current_file_system(path: str) -> str:
    """Give the type of the file system that holds `path` now; "" where the system does not tell."""
    try:
        return file_system_of(path, Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    except OSError:
        return ""


def is_network(file_system: str) -> bool:
    """Tell whether a file system of this type is reached over a network."""
    return file_system in _NETWORK_FILE_SYSTEMS
