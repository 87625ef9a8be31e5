"""Delete a whole directory below a descriptor: no link is followed, no mount entered, no pipe waited for."""

import errno
import os
import secrets
import stat
from typing import Final

from attrs import define, frozen

from sessionguard.workspaces.local.descriptors import look, names_in, open_directory
from sessionguard.workspaces.local.layout import LEDGER, PRIVATE

_DEEPEST: Final = 32


@define
class Freed:
    """What was deleted: files, and their bytes."""

    files: int = 0
    bytes: int = 0


def delete_directory(name: str, parent: int, freed: Freed | None = None) -> None:
    """Delete the directory `name` and all in it, and add what that was to `freed`, as far as it comes.

    Raises:
        OSError: something could not be deleted, such as a mount point; the rest may be gone.
    """
    work = _Work(parent, [], freed if freed is not None else Freed())
    _delete_below(name, parent, (), work)
    # One after the other, not one within the other: neither descriptors nor the stack last for any depth.
    while work.deep:
        _delete_below(work.deep.pop(), parent, ("",), work)


@frozen
class _Work:
    """One deletion: the directory it is in, what was moved there from too far below, and what was freed."""

    top: int
    deep: list[str]
    freed: Freed


def _delete_below(name: str, parent: int, above: tuple[str, ...], work: _Work) -> None:
    directory = open_directory(name, parent)
    try:
        for child in names_in(directory):
            _delete_entry(child, directory, above, work)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)


def _delete_entry(name: str, directory: int, above: tuple[str, ...], work: _Work) -> None:
    found = look(name, directory)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        if len(above) >= _DEEPEST:
            moved = f"deep.{secrets.token_hex(8)}"
            os.rename(name, moved, src_dir_fd=directory, dst_dir_fd=work.top)
            work.deep.append(moved)
            return
        try:
            _delete_below(name, directory, (*above, name), work)
            return
        except NotADirectoryError as error:
            # Swapped for something else since it was looked at, which goes itself; unless it is a mount point.
            if error.errno == errno.EXDEV:
                raise
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    if not (above == (PRIVATE,) and name.startswith(LEDGER)):
        work.freed.files += 1
        work.freed.bytes += found.st_size
