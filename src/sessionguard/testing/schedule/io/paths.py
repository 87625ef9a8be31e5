"""Which file a path or a descriptor means: a name in a folder, so that a listing meets each change of its names."""

import os
import sys
import sysconfig
from collections.abc import Hashable
from typing import Any, Final

from sessionguard.core.points import Part
from sessionguard.testing.schedule.io.listening import Listener, unheard
from sessionguard.testing.schedule.io.naming import stable

_PROGRAM: Final = tuple(
    os.path.join(os.path.realpath(root), "")
    for root in {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), "/proc", "/dev", "/sys"}
    if os.path.isabs(root) and len(root) > 1 and root != os.path.join(os.sep, "usr")
)
_SOURCES: Final = (".py", ".pyc", ".so", ".pth")


_ON_THE_WAY: Final = frozenset({"genericpath", "posixpath", "pathlib", "os", "shutil", "tempfile", "contextlib"})
_OF_THE_PROGRAM: Final = frozenset({
    "importlib", "linecache", "tokenize", "inspect", "pkgutil", "traceback", "warnings", "logging", "redis", "psycopg",
    "psycopg_pool", "ssl", "socket", "sysconfig", "platform",
})  # fmt: skip
"""Who looks for modules, sources, versions and certificates: that is done once and kept, so not in every schedule."""


def is_for_the_program(depth: int) -> bool:
    """Whether the call so many frames above is made by Python itself or by a driver, and not for what callers share."""
    frame = sys._getframe(depth + 1)
    while True:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _ON_THE_WAY or frame.f_back is None:
            return package in _OF_THE_PROGRAM
        frame = frame.f_back


def path_of(path: Any, folder: int | None = None, *, follows: bool = True) -> str | None:
    """Give the real path of what a call names; None if it is nothing that callers share, such as a module."""
    if isinstance(path, int):
        return path_of_descriptor(path)
    try:
        text = os.fsdecode(path)
    except TypeError:
        return None
    if folder is not None and not os.path.isabs(text):
        base = path_of_descriptor(folder)
        if base is None:
            return None
        text = os.path.join(base, text)
    with unheard():
        return _shared(os.path.realpath(text) if follows else _beside(text))


def path_of_descriptor(descriptor: int) -> str | None:
    """Give the path of an open file, as far as the system tells; None for a pipe, a socket and the like."""
    with unheard():
        try:
            found = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            return None
        return _shared(found.removesuffix(" (deleted)")) if os.path.isabs(found) else None


def resource_of(listener: Listener, path: str) -> Hashable:
    """Give what stands for the file of that path: a part of its folder."""
    folder, name = os.path.split(path)
    return Part(listener.place(("folder", folder)), name)


def lock_of(listener: Listener, path: str) -> Hashable:
    """Give what stands for the lock of that file: who takes it touches nothing that the file says."""
    folder, name = os.path.split(path)
    return Part(listener.place(("locks in", folder)), name)


def folder_of(listener: Listener, path: str) -> Hashable:
    """Give what stands for all names in the folder of that path."""
    return listener.place(("folder", path))


def name_of(path: str) -> str:
    """Give what a person knows it by, the same in every schedule."""
    return stable(os.path.basename(path)) or os.sep


def _beside(text: str) -> str:
    folder, name = os.path.split(os.path.abspath(text))
    return os.path.join(os.path.realpath(folder), name)


def _shared(path: str) -> str | None:
    return None if path.startswith(_PROGRAM) or path.endswith(_SOURCES) else path
