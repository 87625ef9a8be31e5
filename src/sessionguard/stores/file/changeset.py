"""What one operation changes: files, links and removals by path, as bytes for the journal and as deeds on the disk."""

import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

from attrs import frozen

from sessionguard.core.points import Part, point

_HEAD: Final = struct.Struct("<BHI")
_FILE, _LINK, _GONE = 1, 2, 3
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

TEMPORARY: Final = "temporary"


@frozen
class Change:
    """What a path is to be: a file with this content, a link with this target, or nothing."""

    kind: int
    content: bytes = b""

    @property
    def is_file(self) -> bool:
        """Whether it is a file with a content of its own."""
        return self.kind == _FILE

    @property
    def is_link(self) -> bool:
        """Whether it is a link."""
        return self.kind == _LINK

    @property
    def is_gone(self) -> bool:
        """Whether nothing is to be there."""
        return self.kind == _GONE


Changes = Mapping[str, Change]

GONE: Final = Change(_GONE)


def file(content: bytes) -> Change:
    """Give the change to a file with this content."""
    return Change(_FILE, content)


def link(target: str) -> Change:
    """Give the change to a link with this target, which need not exist: links are the entries of the indexes."""
    return Change(_LINK, target.encode())


def pack(changes: Changes) -> bytes:
    """Give `changes` as bytes."""
    parts = []
    for path, change in changes.items():
        name = path.encode()
        parts += [_HEAD.pack(change.kind, len(name), len(change.content)), name, change.content]
    return b"".join(parts)


def unpack(text: bytes) -> dict[str, Change]:
    """Give the changes that `pack` made `text` of."""
    changes, at = {}, 0
    while at < len(text):
        kind, name_length, content_length = _HEAD.unpack_from(text, at)
        name_end = at + _HEAD.size + name_length
        name = text[at + _HEAD.size : name_end].decode()
        at = name_end + content_length
        changes[name] = Change(kind, text[name_end:at])
    return changes


def prepare(folder: int, shard: str, changes: Changes) -> dict[str, str]:
    """Write the files of `changes` under other names, and give those by path: what takes room has it then.

    Raises:
        OSError: there is none; nothing is left.
    """
    prepared = {path: f"{shard}/{TEMPORARY}-{n}" for n, (path, one) in enumerate(changes.items()) if one.is_file}
    try:
        for path, temporary in prepared.items():
            write_file(folder, temporary, changes[path].content)
    except OSError:
        discard(folder, prepared.values())
        raise
    return prepared


def discard(folder: int, paths: Iterable[str]) -> None:
    """Remove files that are not needed after all."""
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path, dir_fd=folder)


def remove_leftovers(folder: int, shard: str) -> None:
    """Remove what was prepared by someone who died; the caller holds the lock of the shard."""
    discard(folder, (f"{shard}/{name}" for name in names_in(folder, shard) if name.startswith(TEMPORARY)))


def apply(
    folder: int, shard: str, changes: Changes, prepared: Mapping[str, str] = MappingProxyType({}), place: str = ""
) -> None:
    """Make every path below `folder` what it is to be; doing it again changes nothing.

    The caller holds the lock of the shard, in which one temporary file is enough. Nothing is durable by this alone.
    `place` names the folder at its points.
    """
    part = Part(place, shard)
    for path, change in changes.items():
        # One name for all of them: their order is that of ids, which are drawn at random.
        point("carry out", part, "w")
        if change.is_gone:
            discard(folder, [path])
        elif change.is_file:
            _replace_file(folder, prepared.get(path), f"{shard}/{TEMPORARY}", path, change.content)
        else:
            _replace_link(folder, f"{shard}/{TEMPORARY}", path, change.content.decode())


def _replace_file(folder: int, prepared: str | None, temporary: str, path: str, content: bytes) -> None:
    if prepared is None:
        prepared = temporary
        write_file(folder, prepared, content)
    try:
        os.rename(prepared, path, src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:
        make_parents(folder, path)
        os.rename(prepared, path, src_dir_fd=folder, dst_dir_fd=folder)


def write_file(folder: int, path: str, content: bytes, *, durably: bool = False) -> None:
    """Write a file that nobody reads yet."""
    descriptor = _opened_for_writing(folder, path)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        if durably:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened_for_writing(folder: int, path: str) -> int:
    try:
        return os.open(path, _WRITE_FLAGS, 0o600, dir_fd=folder)
    except FileNotFoundError:
        make_parents(folder, path)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        # A temporary link that was left by a process that died.
        os.unlink(path, dir_fd=folder)
    return os.open(path, _WRITE_FLAGS, 0o600, dir_fd=folder)


def _replace_link(folder: int, temporary: str, path: str, target: str) -> None:
    # A folder of a time index that was empty may be removed by a sweep just as it is needed.
    for _ in range(100):
        try:
            os.symlink(target, path, dir_fd=folder)
        except FileNotFoundError:
            make_parents(folder, path)
            continue
        except FileExistsError:
            if read_link(folder, path) != target:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)
                os.symlink(target, temporary, dir_fd=folder)
                os.rename(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
        return
    raise FileNotFoundError(path)


def make_parents(folder: int, path: str) -> None:
    """Make the folders above `path` that are absent, for this user alone."""
    for parent in reversed(list(_parents(path))):
        # Absent again: an empty folder of a time index above it was just removed, and the caller tries again.
        with suppress(FileExistsError, FileNotFoundError):
            os.mkdir(parent, 0o700, dir_fd=folder)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def read_file(folder: int, path: str) -> bytes | None:
    """Give the content of the file, None if there is none."""
    try:
        descriptor = os.open(path, _READ_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
            if len(part) < 1 << 16:
                break
        return b"".join(parts)
    finally:
        os.close(descriptor)


def read_link(folder: int, path: str) -> str | None:
    """Give the target of the link, None if there is none."""
    try:
        return os.readlink(path, dir_fd=folder)
    except FileNotFoundError:
        return None


def names_in(folder: int, path: str) -> list[str]:
    """Give the names in the folder at `path`, in no order; none if it is absent."""
    try:
        descriptor = os.open(path, _DIRECTORY_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return []
    try:
        return os.listdir(descriptor)
    finally:
        os.close(descriptor)


def make_durable(folder: int, changes: Changes) -> None:
    """Have the disk keep what was applied: the files themselves, and the folders that name them."""
    folders = {"."}
    for path, change in changes.items():
        folders.update(_parents(path))
        if change.is_file:
            _sync(folder, path, _READ_FLAGS)
    for parent in folders:
        _sync(folder, parent, _DIRECTORY_FLAGS)


def _sync(folder: int, path: str, flags: int) -> None:
    try:
        descriptor = os.open(path, flags, dir_fd=folder)
    except FileNotFoundError:
        # Removed by a later change.
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(folder: int, temporary: str, path: str, content: bytes) -> None:
    """Make the file whole and lasting under its name, without a journal: temporary file, fsync, rename, fsync."""
    write_file(folder, temporary, content, durably=True)
    make_parents(folder, path)
    os.rename(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
    for parent in [*_parents(path), "."]:
        _sync(folder, parent, _DIRECTORY_FLAGS)
