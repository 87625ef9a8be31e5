"""Whether a database file is where SQLite can work: on a local file system, in the file that was opened."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sessionguard.errors import ConfigurationError, StoreUnavailableError
from sessionguard.file_systems import current_file_system as current_file_system
from sessionguard.file_systems import file_system_of as file_system_of
from sessionguard.file_systems import is_network as is_network

_log = logging.getLogger("sessionguard.sqlite")

FileIdentity = tuple[int, int]

_LOGS: Final = ("-wal", "-shm", "-journal")
# A rollback journal is not: nobody keeps it open, so that another may soon have its identity.
_HELD_LOGS: Final = ("-wal", "-shm")


def identity_of(path: str) -> FileIdentity | None:
    """Give what tells this file from any other that may take its place; None if there is none.

    Only by stat: opening and closing the file here would drop every lock this process holds on it.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreUnavailableError(
            "sqlite", "connect", f"{path} cannot be reached ({error.strerror}); let this user enter its folder"
        ) from error
    return found.st_dev, found.st_ino


def folder_changed_ns(folder: str) -> int:
    """Give when a name in `folder` was last made, removed or replaced; 0 if that cannot be told."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def create_privately(path: str) -> None:
    """Make the file and its folders, readable by this user alone, if it does not exist."""
    missing = [folder for folder in Path(path).parents if not folder.exists()]
    # One by one: with parents=True all but the last would be open to whomever the umask lets in.
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    if missing:
        # Else a mistyped path would be a new store in which all sessions are lost, and nobody would be told.
        _log.warning("%s was not there and was made, for a new database without sessions: %s", missing[-1], path)
    if os.path.exists(path):
        return
    with _folder_locked(path):
        if os.path.exists(path):
            return
        # Logs without a file are those of a deleted one; SQLite would take them for those of the new file.
        for suffix in _LOGS:
            Path(path + suffix).unlink(missing_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def log_identities(path: str) -> frozenset[FileIdentity]:
    """Give the identities of those logs beside the file that every connection in WAL mode keeps open."""
    return frozenset(filter(None, (identity_of(path + suffix) for suffix in _HELD_LOGS)))


def remove_logs(path: str, former: frozenset[FileIdentity]) -> None:
    """Remove those logs beside the file that are among `former`: they belong to a file that was at this path before.

    SQLite would apply them to the file that is there now, and damage it.
    """
    with _folder_locked(path):
        for suffix in _HELD_LOGS:
            if identity_of(path + suffix) in former:
                Path(path + suffix).unlink(missing_ok=True)


@contextmanager
def _folder_locked(path: str) -> Iterator[None]:
    """Let no other process of this library make or remove a database's files in the same folder meanwhile."""
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_network_file_system(path: str, file_system: str) -> None:
    """Raise `ConfigurationError` if `file_system` is one over a network."""
    if is_network(file_system):
        raise ConfigurationError(
            "sqlite path",
            path,
            f"it lies on a network file system ({file_system}), where SQLite's locks do not hold and the database "
            "would be damaged; use a local disk, or postgresql:// or redis:// for several machines",
        )
