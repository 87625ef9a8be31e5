"""Calls about files: each that another caller may notice, or that notices others, tells of it first."""

import builtins
import io
import os
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Final

from sessionguard.testing.schedule.io.listening import Access, Listener, Mode, Touched, mine, unheard
from sessionguard.testing.schedule.io.paths import folder_of, is_for_the_program, name_of, path_of, resource_of
from sessionguard.testing.schedule.io.replacing import Replacements
from sessionguard.testing.schedule.io.written import opened

Look = Callable[..., "Access | None"]


def add(replacements: Replacements) -> None:
    """Let `open` and the calls of `os` tell."""
    for owner in (builtins, io):
        replacements.replace(owner, "open", _opening)
    for name, look in _LOOKS.items():
        replacements.replace(os, name, _telling(look))


@cache
def _opening(real: Callable[..., Any]) -> Callable[..., Any]:
    # One for both of its names.
    @wraps(real)
    def open_and_tell(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        listener = mine()
        path = None if listener is None or is_for_the_program(1) else path_of(file)
        if listener is None or path is None or not isinstance(mode, str):
            return real(file, mode, *args, **kwargs)
        kind = _kind(listener, path, empties=bool(set(mode) & set("wx")), may_create="a" in mode)
        if not isinstance(file, int):  # Else it was opened before.
            listener.reach(Access(f"open {name_of(path)} {kind}", [(resource_of(listener, path), kind)]))
        return opened(real, listener, path, file, mode, *args, **kwargs)

    return open_and_tell


def _telling(look: Look) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def telling(real: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(real)
        def tell_and_call(*args: Any, **kwargs: Any) -> Any:
            listener = mine()
            if listener is not None and not is_for_the_program(1):
                access = _seen(look, listener, args, kwargs)
                if access is not None:
                    listener.reach(access)
            return real(*args, **kwargs)

        return tell_and_call

    return telling


def _seen(look: Look, listener: Listener, args: Any, kwargs: Any) -> Access | None:
    try:
        return look(listener, *args, **kwargs)
    except TypeError:  # The real one says what is wrong with the arguments.
        return None


def _one(verb: str, mode: Mode, *, follows: bool = True) -> Look:
    def look(
        listener: Listener, path: Any, *args: Any, dir_fd: int | None = None, follow_symlinks: bool = True, **_: Any
    ) -> Access | None:
        found = path_of(path, dir_fd, follows=follows and follow_symlinks)
        return None if found is None else Access(f"{verb} {name_of(found)}", [(resource_of(listener, found), mode)])

    return look


def _two(verb: str, first: Mode) -> Look:
    def look(
        listener: Listener,
        src: Any,
        dst: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> Access | None:
        paths = path_of(src, src_dir_fd, follows=False), path_of(dst, dst_dir_fd, follows=False)
        modes: tuple[Mode, Mode] = (first, "w")
        touched: list[Touched] = [
            (resource_of(listener, path), mode) for path, mode in zip(paths, modes, strict=True) if path is not None
        ]
        names = " -> ".join(name_of(path) for path in paths if path is not None)
        return Access(f"{verb} {names}", touched[::-1]) if touched else None

    return look


def _symlink(
    listener: Listener, src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None
) -> Access | None:
    path = path_of(dst, dir_fd, follows=False)
    return None if path is None else Access(f"symlink {name_of(path)}", [(resource_of(listener, path), "w")])


def _open(listener: Listener, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> Access | None:
    found = path_of(path, dir_fd)
    if found is None:
        return None
    kind = _kind(listener, found, empties=bool(flags & os.O_TRUNC), may_create=bool(flags & os.O_CREAT))
    return Access(f"open {name_of(found)} {kind}", [(resource_of(listener, found), kind)])


def _kind(listener: Listener, path: str, *, empties: bool, may_create: bool) -> Mode:
    """Give whether opening changes anything by itself; what is written later is told then."""
    if empties:
        return "w"
    if not may_create:
        return "r"
    with unheard():
        # Who is stopped first cannot know yet whether it will be there.
        return "w" if listener.can_stop or not os.path.lexists(path) else "r"


def _listing(listener: Listener, path: Any = ".") -> Access | None:
    found = path_of("." if path is None else path)
    return None if found is None else Access(f"list {name_of(found)}", [(folder_of(listener, found), "r")])


def _removal_of_a_folder(listener: Listener, path: Any, *, dir_fd: int | None = None) -> Access | None:
    found = path_of(path, dir_fd, follows=False)
    if found is None:
        return None
    # It fails if anything is in it.
    return Access(f"rmdir {name_of(found)}", [(resource_of(listener, found), "w"), (folder_of(listener, found), "w")])


_LOOKS: Final[dict[str, Look]] = {
    "open": _open,
    "read": _one("read", "r"),
    "pread": _one("read", "r"),
    "write": _one("write", "w"),
    "pwrite": _one("write", "w"),
    "truncate": _one("truncate", "w"),
    "ftruncate": _one("truncate", "w"),
    "fsync": _one("fsync", "r"),
    "fdatasync": _one("fsync", "r"),
    "stat": _one("stat", "r"),
    "lstat": _one("stat", "r", follows=False),
    "access": _one("stat", "r"),
    "readlink": _one("readlink", "r", follows=False),
    "utime": _one("utime", "w"),
    "chmod": _one("chmod", "w"),
    "unlink": _one("unlink", "w", follows=False),
    "remove": _one("unlink", "w", follows=False),
    "mkdir": _one("mkdir", "w", follows=False),
    "rmdir": _removal_of_a_folder,
    "rename": _two("rename", "w"),
    "replace": _two("rename", "w"),
    "link": _two("link", "r"),
    "symlink": _symlink,
    "listdir": _listing,
    "scandir": _listing,
}
