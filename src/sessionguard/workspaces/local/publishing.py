"""Give finished files their names, all of them, however often a crash interrupts it.

A folder `publish-...` in the private part of a workspace holds the files as `0`, `1`, ... and the plan: their names in
that order. It got this name when all of it was on the disk, and from then on the files are published, though they have
yet to be moved. Whoever has the ledger moves them: who published them, or after a crash whoever comes next.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

from sessionguard.errors import PathEscapeError
from sessionguard.workspaces.local.descriptors import make_directory, make_file, open_directory, open_for_reading
from sessionguard.workspaces.local.emptying import delete_directory
from sessionguard.workspaces.local.layout import MANY_PREFIX, PUBLISHING_PREFIX
from sessionguard.workspaces.local.leases import Lease
from sessionguard.workspaces.local.reaches import FILES, reach
from sessionguard.workspaces.local.tree import Parts

PLAN: Final = "plan"

_log = logging.getLogger("sessionguard.workspaces")


def write_plan(folder: int, plan: Sequence[Parts]) -> None:
    """Write down, durably, which names the files `0`, `1`, ... in a folder get."""
    with os.fdopen(make_file(PLAN, folder), "wb") as file:
        file.write(json.dumps(plan).encode())
        file.flush()
        os.fsync(file.fileno())
    os.fsync(folder)


def decide(lease: Lease, name: str) -> str:
    """Decide that the files in the unfinished folder `name` are published; give its name for `finish`, which is next.

    An OSError before that leaves the folder under its name; later it is finished by whoever comes next.
    """
    decided = PUBLISHING_PREFIX + name.removeprefix(MANY_PREFIX)
    private = lease.private_descriptor
    reach("publish all", FILES, lease.session_id, "w")
    os.rename(name, decided, src_dir_fd=private, dst_dir_fd=private)
    return decided


def finish(lease: Lease, name: str, beat: Callable[[], None]) -> None:
    """Move the files of a published folder that have not been moved yet, and remove the folder.

    Several may do so at once, when one who stood still while he did goes on: what another has moved is not there.
    """
    os.fsync(lease.private_descriptor)
    try:
        folder = open_directory(name, lease.private_descriptor)
    except FileNotFoundError:
        return
    try:
        for parent, files in _by_parent(_plan(folder)):
            _move(lease, folder, parent, files, beat)
    finally:
        os.close(folder)
    with suppress(FileNotFoundError):
        delete_directory(name, lease.private_descriptor)


def _plan(folder: int) -> list[Parts]:
    try:
        with os.fdopen(open_for_reading(PLAN, folder), "rb") as file:
            return [tuple(parts) for parts in json.loads(file.read())]
    except FileNotFoundError:
        # Removing the folder had begun: all was moved.
        return []


def _by_parent(plan: Sequence[Parts]) -> Iterator[tuple[Parts, list[tuple[int, str]]]]:
    """Give the files of each directory together, so that it is opened and made durable once."""
    ordered = sorted(range(len(plan)), key=lambda number: plan[number])
    for parent, numbers in groupby(ordered, key=lambda number: plan[number][:-1]):
        yield parent, [(number, plan[number][-1]) for number in numbers]


def _move(lease: Lease, folder: int, parent: Parts, files: Sequence[tuple[int, str]], beat: Callable[[], None]) -> None:
    try:
        directory = directory_of(lease, parent)
    except PathEscapeError as error:
        # Another program has put something else there since; there is no way to give these files their names.
        _log.error("%d published files of a crashed writer are lost: %s", len(files), error)
        return
    try:
        for number, last in files:
            beat()
            reach("rename", FILES, lease.session_id, "w")
            with suppress(FileNotFoundError):  # It was moved before the crash.
                _rename(lease, str(number), folder, last, directory)
        os.fsync(directory)
    finally:
        os.close(directory)


def _rename(lease: Lease, source: str, folder: int, last: str, directory: int) -> None:
    try:
        os.rename(source, last, src_dir_fd=folder, dst_dir_fd=directory)
    except IsADirectoryError:
        _log.error("a published file of session %s is lost: %a is a directory now", lease.session_id, last)


def directory_of(lease: Lease, parent: Parts) -> int:
    """Give a descriptor of a directory of the workspace, made if it is missing; close it.

    Raises:
        PathEscapeError: something else has one of its names.
    """
    opened = os.dup(lease.files_descriptor)
    device = os.fstat(opened).st_dev
    for part in parent:
        above = opened
        try:
            opened = make_directory(part, above)
        except NotADirectoryError:
            raise PathEscapeError(lease.session_id, "/".join(parent), f"{part!a} is no directory") from None
        finally:
            os.close(above)
        if os.fstat(opened).st_dev != device:
            os.close(opened)
            raise PathEscapeError(lease.session_id, "/".join(parent), f"{part!a} is another file system")
    return opened
