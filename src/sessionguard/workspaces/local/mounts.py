"""Tell mounts apart: what is mounted inside a workspace is not part of it, even if it is the same file system."""

import os

Mount = tuple[int, str]


def mount_of(descriptor: int) -> Mount:
    """Give what is equal for two descriptors on one mount; where there is no /proc, for two on one file system."""
    return os.fstat(descriptor).st_dev, _mount_number(descriptor)


def has_mounts_below(directory: int) -> bool:
    """Tell whether a file system, or another part of this one, is mounted below."""
    try:
        path = os.readlink(f"/proc/self/fd/{directory}")
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            points = [line.split(" ", 5)[4] for line in mounts]
    except FileNotFoundError:
        return False
    return any(point.startswith(path.replace(" ", r"\040") + "/") for point in points)


def _mount_number(descriptor: int) -> str:
    """Give the mount of a descriptor as the kernel numbers it, see proc(5); empty where it does not say."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
            return next((line.split()[1] for line in lines if line.startswith("mnt_id:")), "")
    except FileNotFoundError:
        return ""
