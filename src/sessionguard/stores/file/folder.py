"""The folder of a store: made for this user alone, of a known format, on a disk of this machine, and still the same."""

import json
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sessionguard.errors import ConfigurationError, StoreDataError, StoreUnavailableError
from sessionguard.file_systems import current_file_system, is_network
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.file import changeset
from sessionguard.stores.file.waiting import lock_exclusively, unlock

MIGRATIONS: Final = ("0001_initial",)
NEWEST: Final = len(MIGRATIONS)
FORMAT: Final = "format.json"

_SHARD: Final = re.compile(r"[0-9a-f]{2}")
_KIND: Final = "sessionguard sessions"
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Shared with a host: what is locked in one of two virtual machines may be free in the other.
_SHARED_WITH_A_HOST: Final = frozenset({"9p", "virtiofs", "vboxsf", "prl_fs", "drvfs"})


class Folder:
    """An open folder of sessions. Its descriptor is closed when nobody refers to it any more."""

    def __init__(self, path: str, descriptor: int, deployment_id: str) -> None:
        self.path = path
        self.descriptor = descriptor
        self.deployment_id = deployment_id
        self.known: dict[str, bytes] = {}
        """Shard -> the identity of its journal, for the shards that this process has met."""
        self._identity = _identity(os.fstat(descriptor))

    def twin(self) -> "Folder":
        """Give the same folder under another descriptor."""
        twin = Folder(self.path, os.dup(self.descriptor), self.deployment_id)
        twin.known = dict(self.known)
        return twin

    def is_in_place(self) -> bool:
        """Tell whether the path still names this folder."""
        try:
            return _identity(os.lstat(self.path)) == self._identity
        except (FileNotFoundError, NotADirectoryError):
            return False

    def shards(self) -> list[str]:
        """Give the shards that there are, in order."""
        return sorted(filter(_SHARD.fullmatch, changeset.names_in(self.descriptor, ".")))

    def journals(self) -> list[str]:
        """Give all the folders here that may have a journal, in order."""
        return sorted(set(changeset.names_in(self.descriptor, ".")) - {FORMAT, changeset.TEMPORARY})

    def __del__(self, close: Any = os.close) -> None:
        if hasattr(self, "descriptor"):
            close(self.descriptor)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def open_folder(path: str, deadline: Deadline) -> Folder:
    """Open the folder at `path`, made and marked as ours if it is absent or empty.

    Raises:
        ConfigurationError: it is no place for sessions, or something else.
        StoreDataError: it has the format of a newer release.
    """
    refuse_untrustworthy_locks(path, current_file_system(path))
    _make(path)
    descriptor = _opened(path)
    try:
        problem = problem_of(os.fstat(descriptor))
        if problem is not None:
            raise ConfigurationError("file path", path, problem)
        found = _read_format(descriptor) or _mark(path, descriptor, deadline)
        deployment_id = _deployment_of(found)
    except BaseException:
        os.close(descriptor)
        raise
    return Folder(path, descriptor, deployment_id)


def refuse_untrustworthy_locks(path: str, file_system: str) -> None:
    """Raise `ConfigurationError` if processes cannot trust each other's locks on such a file system."""
    problem = problem_of_file_system(file_system)
    if problem is not None:
        raise ConfigurationError(
            "file path",
            path,
            f"it lies on {problem} ({file_system}), where locks do not hold for all users of a file and sessions would "
            "be damaged; use a local disk, or postgresql:// or redis:// for several machines",
        )


def problem_of_file_system(file_system: str) -> str | None:
    """Say in some words why locks cannot be trusted there, or None if they can."""
    if is_network(file_system):
        return "a network file system"
    if file_system == "fuseblk" or file_system.partition(".")[0] == "fuse":
        return "a file system that a program provides"
    return "a file system shared with a host" if file_system in _SHARED_WITH_A_HOST else None


def problem_of(found: os.stat_result) -> str | None:
    """Say why a folder with this status is not to be trusted, or None if it is."""
    if found.st_uid != os.geteuid():
        return "it belongs to another user; give a directory owned by the user this process runs as"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it; remove that permission (chmod go-w)"
    return None


def due_migrations(path: str) -> list[str]:
    """Name the migrations that the folder at `path` still needs; one that does not exist needs all."""
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        return list(MIGRATIONS)
    try:
        found = _read_format(descriptor)
    finally:
        os.close(descriptor)
    return list(MIGRATIONS) if found is None else list(MIGRATIONS[int(found["format"]) :])


def _make(path: str) -> None:
    try:
        # One by one: with parents=True all but the last would be open to whomever the umask lets in.
        for folder in [*reversed(Path(path).parents), Path(path)]:
            if not os.path.lexists(folder):
                with suppress(FileExistsError):
                    folder.mkdir(mode=0o700)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
            remedy = f"it cannot be made ({error.strerror}); name a folder in a place where you may write"
            raise ConfigurationError("file path", path, remedy) from error
        raise


def _opened(path: str) -> int:
    try:
        return os.open(path, _FLAGS)
    except NotADirectoryError as error:
        remedy = "it is a symbolic link or not a directory; name the directory itself"
        raise ConfigurationError("file path", path, remedy) from error
    except PermissionError as error:
        raise ConfigurationError("file path", path, "this process may not open it") from error


def _read_format(descriptor: int) -> dict[str, Any] | None:
    text = changeset.read_file(descriptor, FORMAT)
    if text is None:
        return None
    try:
        found = json.loads(text)
        number, kind = found["format"], found["kind"]
        known = kind == _KIND and isinstance(number, int) and number >= 1
    except (ValueError, TypeError, KeyError):
        known, number = False, 0
    if not known:
        raise StoreDataError("file", "open", f"{FORMAT} is damaged or of another program; restore it from a backup")
    if number > NEWEST:
        raise StoreDataError(
            "file", "open", f"the folder has format {number}, this release knows {NEWEST}; upgrade sessionguard here, "
            "or give this release a folder of its own"
        )  # fmt: skip
    return dict(found)


def _deployment_of(found: dict[str, Any]) -> str:
    return str(found["deployment_id"])


def _mark(path: str, descriptor: int, deadline: Deadline) -> dict[str, Any]:
    # The folder itself is the lock: several processes may open it for the first time at once.
    lock = os.open(".", _FLAGS, dir_fd=descriptor)
    try:
        lock_exclusively(lock, "open", deadline)
        found = _read_format(descriptor)
        if found is not None:
            return found
        if set(os.listdir(lock)) - {changeset.TEMPORARY}:
            raise ConfigurationError("file path", path, "it holds other files; name an empty folder, or a new one")
        found = {"kind": _KIND, "format": NEWEST, "deployment_id": secrets.token_hex(16)}
        text = json.dumps(found, indent=1).encode()
        changeset.write_durably(descriptor, changeset.TEMPORARY, FORMAT, text)
        return found
    finally:
        unlock(lock)
        os.close(lock)


def lost(path: str) -> StoreUnavailableError:
    """Give the error for sessions that were taken away while they were in use."""
    return StoreUnavailableError(
        "file",
        "open",
        f"{path}: the folder, or a part of it, was replaced or removed while it was in use. What was written to the "
        "former one is not in this one",
    )
