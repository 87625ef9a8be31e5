"""Delete a whole directory below a descriptor: no link is followed, no mount entered, no pipe waited for."""

import errno
import os
import secrets
import stat
from typing import Final

from attrs import define

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
    _delete_below(name, parent, parent, (), freed if freed is not None else Freed())


def _delete_below(name: str, parent: int, top: int, above: tuple[str, ...], freed: Freed) -> None:
    directory = open_directory(name, parent)
    try:
        for child in names_in(directory):
            _delete_entry(child, directory, top, above, freed)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)


def _delete_entry(name: str, directory: int, top: int, above: tuple[str, ...], freed: Freed) -> None:
    found = look(name, directory)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        if len(above) >= _DEEPEST:
            # Up to the top, under a new name: a descriptor is open for every level, and those are few.
            moved = f"deep.{secrets.token_hex(8)}"
            os.rename(name, moved, src_dir_fd=directory, dst_dir_fd=top)
            _delete_below(moved, top, top, ("",), freed)
            return
        try:
            _delete_below(name, directory, top, (*above, name), freed)
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
        freed.files += 1
        freed.bytes += found.st_size
