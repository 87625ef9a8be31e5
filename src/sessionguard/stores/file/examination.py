"""What `sessionguard doctor` looks at in a file store. Nothing here changes the folder."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from sessionguard.core.findings import Finding
from sessionguard.errors import SessionGuardError
from sessionguard.file_systems import current_file_system
from sessionguard.stores.file import changeset, journal
from sessionguard.stores.file.folder import NEWEST, due_migrations, problem_of, problem_of_file_system

_LITTLE_ROOM = 64 * 1024 * 1024


def examine(path: str) -> list[Finding]:
    """Give one finding per subject, the good ones too."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return [Finding("warning", "folder", f"{path} does not exist yet", "it is made at first use")]
    if not stat.S_ISDIR(found.st_mode):
        return [Finding("problem", "folder", f"{path} is a link or not a directory", "name the directory itself")]
    findings = [_place(path), _permissions(path, found), _room(path)]
    try:
        due = due_migrations(path)
    except SessionGuardError as error:
        return [*findings, Finding("problem", "format", str(error), "restore the folder from a backup")]
    if due:
        remedy = "it is brought up to date at first use, or by `sessionguard migrate`"
        return [*findings, Finding("warning", "format", f"due: {', '.join(due)}", remedy)]
    return [*findings, Finding("ok", "format", f"version {NEWEST} of {NEWEST}"), *_journals(path)]


def _place(path: str) -> Finding:
    file_system = current_file_system(path)
    if problem_of_file_system(file_system) is not None:
        return Finding("problem", "place", f"{path} lies on {file_system}", "move it to a local disk")
    if file_system == "overlay":
        message = f"{path} lies in the layer of a container, and is gone with it"
        return Finding("warning", "place", message, "mount a volume there")
    return Finding("ok", "place", f"{path} ({file_system or 'file system unknown'})")


def _permissions(path: str, found: os.stat_result) -> Finding:
    problem, mode = problem_of(found), stat.S_IMODE(found.st_mode)
    if problem is not None:
        return Finding("problem", "permissions", problem, f"chmod 700 {path}")
    if mode & 0o077:
        return Finding("warning", "permissions", f"others may enter the folder ({mode:04o})", f"chmod 700 {path}")
    return Finding("ok", "permissions", f"{mode:04o}")


def _room(path: str) -> Finding:
    system = os.statvfs(path)
    free, files = system.f_bavail * system.f_frsize, system.f_favail
    message = f"{free // 1024 // 1024} MB and {files} files"
    # A file system without a table of files says that it has none.
    if free < _LITTLE_ROOM or (system.f_files and files < 10_000):
        return Finding("warning", "room", f"{message} are left; each session takes about six files", "free some")
    return Finding("ok", "room", f"{message} are left")


def _journals(path: str) -> Iterator[Finding]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        states = Counter(filter(None, (_state(descriptor, name) for name in changeset.names_in(descriptor, "."))))
    finally:
        os.close(descriptor)
    if states["damaged"]:
        message = f"{states['damaged']} of {states.total()} are damaged"
        yield Finding("problem", "journals", message, "restore the folder from a backup")
    elif states["unfinished"]:
        message = f"{states['unfinished']} of {states.total()} have something to carry out"
        yield Finding("warning", "journals", message, "the next program that opens the store does it")
    else:
        yield Finding("ok", "journals", f"{states.total()}, all carried out")


def _state(folder: int, shard: str) -> str | None:
    with suppress(NotADirectoryError, FileNotFoundError):
        descriptor = os.open(f"{shard}/journal", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            return _state_of(descriptor)
        except SessionGuardError:
            return "damaged"
        finally:
            os.close(descriptor)
    return None


def _state_of(descriptor: int) -> str:
    header, former = journal.read_header(descriptor), None
    while header is not None and header != former:
        try:
            journal.carried_out(descriptor, header)
        except journal.OvertakenError:
            # If it was begun anew meanwhile, the header is another one by now.
            header, former = journal.read_header(descriptor), header
        else:
            return "settled" if header.is_settled else "unfinished"
    return "settled" if header is None else "damaged"
