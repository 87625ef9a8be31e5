"""Open what lies below a directory, and nothing else: in one call of the kernel, or component by component.

The kernel's way is openat2(2), Linux 5.6: it refuses links, magic links, mount points and whatever would lead out while
it resolves the name, so that nothing can be swapped in between. Where it is missing, or a seccomp filter forbids it,
each component is opened by itself, and the mount it is on is compared. Both raise the same.
"""

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import Final

from sessionguard.workspaces.local.mounts import mount_of

Call = Callable[[int, str, int, int], int]
"""Takes a directory, a path below it, flags and a mode, and gives a descriptor."""

# include/uapi/linux/openat2.h. NO_SYMLINKS implies NO_MAGICLINKS, see openat2(2): that one is asked for by name only so
# that nobody who relaxes the other lets /proc/self/fd in.
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_RESOLVE: Final = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV

# include/uapi/asm-generic/unistd.h and scripts/syscall.tbl: since Linux 5.1 new calls have one number everywhere, but
# for Alpha (110 more) and MIPS (by its ABI, which nothing here tells; there it is the walk).
_NUMBER: Final = 437
_NUMBERS: Final = {
    "x86_64": _NUMBER, "i386": _NUMBER, "i486": _NUMBER, "i586": _NUMBER, "i686": _NUMBER,
    "aarch64": _NUMBER, "armv6l": _NUMBER, "armv7l": _NUMBER, "armv8l": _NUMBER,
    "ppc": _NUMBER, "ppc64": _NUMBER, "ppc64le": _NUMBER, "s390x": _NUMBER,
    "riscv32": _NUMBER, "riscv64": _NUMBER, "loongarch64": _NUMBER, "alpha": _NUMBER + 110,
}  # fmt: skip

_MISSING: Final = (errno.ENOSYS, errno.EPERM)
# EINVAL and E2BIG: it knows less than what is asked of it, see "Extensibility" in openat2(2).
_UNUSABLE: Final = (*_MISSING, errno.EINVAL, errno.E2BIG, errno.EACCES)
# Of a race with a renaming of what lies above; the kernel could not tell whether the name stayed below.
_ATTEMPTS: Final = 100


def open_beneath(path: str, parent: int, flags: int, mode: int = 0) -> int:
    """Give a descriptor of `path`, components joined by "/", below the directory `parent`; close it.

    No link is followed, and no mount point is crossed, wherever it stands in the path.

    Raises:
        OSError: ELOOP, or ENOTDIR where a directory was asked for: there is a link; EXDEV: there is a mount point, or
            the path itself leads out; and whatever open(2) raises.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    call = kernel_call()
    if call is not None:
        try:
            # As `os.open` does, so that whoever watches this program sees both ways.
            sys.audit("open", path, None, flags)
            return call(parent, path, flags, mode)
        except OSError as error:
            # A filter may have been put in force since the first call. Where the file itself is what may not be opened,
            # the walk says so, too.
            if error.errno not in _MISSING:
                raise
    return walk(parent, path, flags, mode)


@functools.cache
def kernel_call() -> Call | None:
    """Give openat2 if the kernel has it and lets this process use it, asked once; else None."""
    call = _openat2()
    if call is None:
        return None
    root = os.open("/", os.O_PATH)
    try:
        os.close(call(root, ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0))
    except OSError as error:
        # Raised, and asked again next time, where it is something else, such as too many open files.
        if error.errno not in _UNUSABLE:
            raise
        return None
    finally:
        os.close(root)
    return call


def walk(parent: int, path: str, flags: int, mode: int) -> int:
    """Give what openat2 would, one component at a time."""
    *above, last = path.split("/")
    if path.startswith("/") or ".." in (*above, last):
        # The kernel's answer to what may lead out.
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    mount = mount_of(parent)
    here = parent
    try:
        for part in above:
            here = _step(parent, here, _on_mount(_opened(part, here, os.O_PATH | os.O_DIRECTORY, 0), mount))
        return _on_mount(_opened(last, here, flags, mode), mount)
    finally:
        if here != parent:
            os.close(here)


def _opened(part: str, parent: int, flags: int, mode: int) -> int:
    return os.open(part, flags | os.O_NOFOLLOW, mode, dir_fd=parent)


def _on_mount(descriptor: int, mount: object) -> int:
    try:
        found = mount_of(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    if found != mount:
        os.close(descriptor)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return descriptor


def _step(first: int, former: int, latter: int) -> int:
    if former != first:
        os.close(former)
    return latter


def _openat2() -> Call | None:
    number = _NUMBERS.get(os.uname().machine)
    if number is None or sys.platform != "linux":
        return None
    import ctypes  # here, because it loads much

    class OpenHow(ctypes.Structure):
        _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))

    # A library object of our own: others that call `syscall` have other argument types.
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = (
        ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(OpenHow), ctypes.c_size_t
    )  # fmt: skip

    def openat2(parent: int, path: str, flags: int, mode: int) -> int:
        how = OpenHow(flags, mode, _RESOLVE)
        name = os.fsencode(path)
        for _ in range(_ATTEMPTS):
            found: int = syscall(number, parent, name, ctypes.byref(how), ctypes.sizeof(how))
            if found >= 0:
                return found
            problem = ctypes.get_errno()
            if problem not in (errno.EINTR, errno.EAGAIN):
                break
        raise OSError(problem, os.strerror(problem), path)

    return openat2
