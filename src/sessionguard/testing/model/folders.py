"""A place for files in the memory of one process, so plain that it can be checked by reading.

It is what a place must do and no more: one lock, files as bytes, no crash to survive. Like the model of a store it is
made of small parts, so that a planted bug is one part done wrong.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from attrs import define, field

from sessionguard.core.commands import Fence
from sessionguard.core.leases import is_of_hold, lost
from sessionguard.errors import InvalidArgumentError, LeaseLostError, MisuseError, QuotaExceededError
from sessionguard.testing.model.unfinished import UnfinishedFile, exists, missing
from sessionguard.workspaces.contract import Removal
from sessionguard.workspaces.identities import checked_session_id
from sessionguard.workspaces.limits import ARCHIVE_LIMITS, ArchiveLimits, Exported
from sessionguard.workspaces.links import DEFAULT_LINK
from sessionguard.workspaces.names import NamesTogether, parse_name
from sessionguard.workspaces.quota import NOTHING, OwnerQuota, Quota, Usage
from sessionguard.workspaces.texts import TextWriter

_MODES = ("r", "rb", "w", "wb", "x", "xb")
_GONE = Removal(files=0, bytes=0, deferred=False)


@define(eq=False)
class Folder:
    """The files of one session, and who is at them."""

    files: dict[str, bytes] = field(factory=dict)
    leases: "set[ModelWorkspace]" = field(factory=set)
    unfinished: "weakref.WeakSet[UnfinishedFile]" = field(factory=weakref.WeakSet)
    fences: dict[str, int] = field(factory=dict)
    owner: str | None = None
    """The key of whom it belongs to, if that limits it."""
    changed_at: datetime = field(factory=partial(datetime.now, UTC))
    is_pending: bool = False
    """Whether it is removed when its last lease ends."""

    def removal(self) -> Removal:
        """Tell what goes with it."""
        usage = self.usage()
        return Removal(files=usage.files, bytes=usage.bytes, deferred=False)

    def is_young(self, age: timedelta, at: datetime) -> bool:
        """Tell whether it changed within `age` before `at`, or after it."""
        return self.changed_at > at - age

    def usage(self) -> Usage:
        """Count what is finished."""
        return Usage(sum(map(len, self.files.values())), len(self.files))

    def new_names(self, but: UnfinishedFile | None = None) -> set[str]:
        """Give the names that only unfinished files have, other than `but`."""
        return {file.name for file in self.unfinished if file is not but} - self.files.keys()

    def spoken_for(self, but: UnfinishedFile | None = None) -> Usage:
        """Count what is finished and what is not, other than `but`."""
        size = sum(file.size for file in self.unfinished if file is not but)
        return Usage(self.usage().bytes + size, len(self.files) + len(self.new_names(but)))


class ModelWorkspaces:
    """All workspaces of a deployment, in the memory of this object."""

    workspace: "type[ModelWorkspace]"

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.deployments: dict[str, dict[str, Folder]] = {}
        self.quarantined: list[Folder] = []
        self._deployment_id: str | None = None
        self.after = ""

    def open(self, deployment_id: str) -> None:
        """Work in a part of this deployment's own."""
        if not isinstance(deployment_id, str) or not deployment_id:
            raise InvalidArgumentError("deployment_id", deployment_id, "give the non-empty deployment id of the store")
        self._deployment_id = deployment_id

    @property
    def folders(self) -> dict[str, Folder]:
        """The folders of the deployment that is open."""
        if self._deployment_id is None:
            raise MisuseError("these workspaces are not open; call open(deployment_id) first")
        return self.deployments.setdefault(self._deployment_id, {})

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> "ModelWorkspace":
        """Give the workspace of a session, made on first use."""
        with self.lock:
            folder = self.folder_of(checked_session_id(session_id))
            if folder.is_pending and not is_of_hold(fence):
                raise LeaseLostError(session_id, "it is to be removed; its session has ended")
            workspace = self.workspace(self, session_id, folder, quota, fence)
            workspace.pass_fence()
            folder.owner = quota.owner.key if quota.owner is not None else folder.owner
            folder.leases.add(workspace)
            return workspace

    def folder_of(self, session_id: str) -> Folder:
        """Give the folder of a session, made on first use."""
        return self.folders.setdefault(session_id, Folder())

    def remove(self, session_id: str) -> Removal:
        """Remove the workspace of a session, at once or when its last lease ends."""
        with self.lock:
            folder = self.folders.get(checked_session_id(session_id))
            if folder is None:
                return _GONE
            if folder.leases:
                folder.is_pending = True
                return Removal(files=0, bytes=0, deferred=True)
            del self.folders[session_id]
            return folder.removal()

    def measure(self, session_id: str) -> Removal:
        """Tell what `remove` would do now."""
        with self.lock:
            folder = self.folders.get(checked_session_id(session_id))
            if folder is None:
                return _GONE
            return Removal(files=0, bytes=0, deferred=True) if folder.leases else folder.removal()

    def is_young(self, session_id: str, age: timedelta, at: datetime | None) -> bool:
        """Tell whether the files of a session changed within `age` before `at`, or before now."""
        with self.lock:
            folder = self.folders.get(checked_session_id(session_id))
            return folder is not None and not folder.is_pending and folder.is_young(age, at or datetime.now(UTC))

    def let_go(self, workspace: "ModelWorkspace", folder: Folder) -> None:
        """End a lease, and do the removal that waited for it."""
        folder.leases.discard(workspace)
        if folder.is_pending and not folder.leases:
            self.remove(workspace.session_id)

    def quarantine(self, session_id: str) -> bool:
        """Put the workspace of a lost session out of reach."""
        with self.lock:
            folder = self.folders.get(checked_session_id(session_id))
            if folder is None or folder.leases:
                return False
            del self.folders[session_id]
            if folder.is_pending or not folder.files:
                return False
            self.quarantined.append(folder)
            return True

    def candidates(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give up to `limit` sessions whose files may be garbage, and go on behind them."""
        chosen, self.after = self.chosen(limit, deployment_id)
        return chosen

    def leftovers(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give what `candidates` would give now."""
        return self.chosen(limit, deployment_id)[0]

    def chosen(self, limit: int, deployment_id: str | None) -> tuple[list[str], str]:
        """Give up to `limit` sessions, those that wait for removal first, and the last of the others."""
        if limit < 1:
            raise InvalidArgumentError("limit", limit, "give at least 1")
        with self.lock:
            folders = self.folders
            if deployment_id not in (None, self._deployment_id):
                raise MisuseError("these workspaces are open for another deployment; open them for this one")
            pending = [session_id for session_id, folder in folders.items() if folder.is_pending]
            chosen, after = pending[: (limit + 1) // 2], self.after
            for session_id in [*self.following(), *self.following()]:
                if len(chosen) < limit and session_id not in chosen:
                    chosen.append(session_id)
                    after = session_id
            return chosen, after

    def following(self) -> list[str]:
        """Give all sessions in turn, going on where the last call stopped."""
        later = [session_id for session_id in sorted(self.folders) if session_id > self.after]
        return later + [session_id for session_id in sorted(self.folders) if session_id <= self.after]


class ModelWorkspace:
    """The files of one session, while its lease is held."""

    unfinished_file = UnfinishedFile

    def __init__(
        self, place: ModelWorkspaces, session_id: str, folder: Folder, quota: Quota, fence: Fence | None
    ) -> None:
        self.place = place
        self.session_id = session_id
        self.folder = folder
        self.quota = quota
        self.fence = fence
        self._pid = os.getpid()
        self.is_closed = False

    @property
    def path(self) -> Path:
        """Refused: there is no directory."""
        raise MisuseError("these files are in memory; read them with workspace.open(name)")

    def named(self, name: str) -> str:
        """Give the name of a file as `list` shows it."""
        return "/".join(parse_name(self.session_id, name))

    def check(self) -> None:
        """Return if this may still be used."""
        if os.getpid() != self._pid:
            raise MisuseError("this workspace was opened before a fork; open it again in the child")
        if self.is_closed:
            raise MisuseError("this workspace is closed; open it again with guard.workspace(session)")

    def pass_fence(self) -> None:
        """Return if nobody has been here whom it must not follow; from now on nobody below its lowest passes."""
        if self.fence is not None:
            least = max(self.fence.lowest, self.folder.fences.get(self.fence.name, 0))
            self.folder.fences[self.fence.name] = least
            if least > self.fence.number:
                raise lost(self.session_id, self.fence)

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> IO[Any]:
        """Open a file."""
        name = self.named(name)
        kind = mode.replace("t", "") if isinstance(mode, str) else ""
        if kind not in _MODES:
            raise InvalidArgumentError("mode", mode, 'use "rb", "r", "wb", "w", "xb" or "x"')
        self.check()
        if kind.startswith("r"):
            return self._reading(name, kind, encoding, newline)
        file = self.unfinished_file(self, name, is_new=kind.startswith("x"))
        with self.place.lock:
            self.pass_fence()
            self.judge(file.name, is_new=file.must_be_new)
            self.admit(file, file.name, 0)
            self.folder.unfinished.add(file)
        return cast("IO[Any]", file if kind.endswith("b") else TextWriter(file, encoding, newline))

    def _reading(self, name: str, kind: str, encoding: str, newline: str | None) -> IO[Any]:
        import io

        content = self.folder.files.get(name)
        if content is None:
            raise missing(name)
        file = io.BytesIO(content)
        return file if kind == "rb" else io.TextIOWrapper(file, encoding=encoding, newline=newline)

    def judge(self, name: str, *, is_new: bool) -> None:
        """Return if `name` may be given to a file now."""
        names = NamesTogether(self.session_id)
        for other in self.folder.files:
            names.add_existing(tuple(other.split("/")))
        names.add_existing(tuple(name.split("/")))
        if is_new and name in self.folder.files:
            raise exists(name)

    def admit(self, file: UnfinishedFile, name: str, size: int) -> None:
        """Return if a file of this size fits beside all others, unfinished ones too."""
        others = self.folder.spoken_for(file)
        more = Usage(size, int(name not in self.folder.files and name not in self.folder.new_names(file)))
        self.refuse_excess(self.quota, others, more, "session")
        if self.quota.owner is not None:
            for folder in self.of_same_owner():
                theirs = folder.spoken_for()
                others = Usage(others.bytes + theirs.bytes, others.files + theirs.files)
            self.refuse_excess(self.quota.owner, others, more, "owner")

    def of_same_owner(self) -> list[Folder]:
        """Give the other folders that the quota of the owner limits."""
        mine = self.quota.owner
        folders = self.place.folders.values()
        return [each for each in folders if each is not self.folder and mine is not None and each.owner == mine.key]

    def refuse_excess(self, quota: Quota | OwnerQuota, used: Usage, more: Usage, whose: str) -> None:
        """Return if so much more fits beside what is used."""
        for unit, limit, held, need in (
            ("bytes", quota.bytes, used.bytes, more.bytes),
            ("files", quota.files, used.files, more.files),
        ):
            if limit is not None and need and held + need > limit:
                raise QuotaExceededError(self.session_id, limit, held + need, unit, whose)

    def publish(self, files: dict[str, bytes]) -> None:
        """Let files appear."""
        self.folder.files.update(files)
        self.folder.changed_at = datetime.now(UTC)

    def read(self, name: str) -> bytes:
        """Give all bytes of a file."""
        with self.open(name) as file:
            return cast("bytes", file.read())

    def write(self, name: str, data: bytes | str | Iterable[bytes]) -> int:
        """Make or replace a file, and give its length in bytes."""
        with self.open(name, "wb") as file:
            return sum(file.write(chunk) for chunk in chunks_of(data))

    def write_all(
        self,
        files: Iterable[tuple[str, bytes | str | Iterable[bytes]]],
        *,
        expected: Usage = NOTHING,
        replace: bool = True,
    ) -> list[str]:
        """Make or replace many files so that all appear or none."""
        names, written = NamesTogether(self.session_id), []
        try:
            with self.place.lock:
                self.check()
                self.pass_fence()
                self.expect(expected)
            for pair in files:
                if not isinstance(pair, tuple):
                    raise InvalidArgumentError(
                        "files", pair, "give pairs of a name and its data; of a dict, its items()"
                    )
                name, data = pair
                names.add(tuple(self.named(name).split("/")))
                file = cast("UnfinishedFile", self.open(name, "wb" if replace else "xb"))
                written.append(file)
                for chunk in chunks_of(data):
                    file.write(chunk)
            with self.place.lock:
                self.check()
                self.pass_fence()
                for file in written:
                    self.judge(file.name, is_new=not replace)
                    self.admit(file, file.name, file.size)
                self.publish({file.name: bytes(file.content) for file in written})
            return sorted(file.name for file in written)
        finally:
            for file in written:
                file.discard()

    def expect(self, expected: Usage) -> None:
        """Return if so much more would fit now."""
        self.refuse_excess(self.quota, self.folder.usage(), expected, "session")

    def import_zip(
        self,
        source: str | os.PathLike[str] | IO[bytes],
        *,
        into: str = "",
        limits: ArchiveLimits = ARCHIVE_LIMITS,
        replace: bool = False,
    ) -> list[str]:
        """Unpack a zip archive: all of its files or none."""
        from sessionguard.workspaces.archives import import_zip

        return import_zip(self, source, into=into, limits=limits, replace=replace)

    def list(self) -> list[str]:
        """Give the sorted names of all files."""
        self.check()
        with self.place.lock:
            return sorted(self.folder.files)

    def usage(self) -> Usage:
        """Count all files now."""
        self.check()
        with self.place.lock:
            return self.folder.usage()

    def delete(self, name: str) -> bool:
        """Remove a file; False if there was none."""
        name = self.named(name)
        self.check()
        with self.place.lock:
            self.pass_fence()
            return self.folder.files.pop(name, None) is not None

    def export_zip(self, target: str | os.PathLike[str] | IO[bytes]) -> Exported:
        """Write all files as a zip archive."""
        from sessionguard.workspaces.archives import export_zip

        return export_zip(self, target)

    def download_url(
        self, name: str, *, expires: timedelta = DEFAULT_LINK, filename: str | None = None, content_type: str = ""
    ) -> str:
        """Refused: nothing leads into memory."""
        raise MisuseError("these files are in memory; read them with workspace.open(name)")

    def close(self) -> None:
        """Discard unfinished files and release the lease."""
        if os.getpid() != self._pid:
            return
        with self.place.lock:
            if not self.is_closed:
                for file in [file for file in self.folder.unfinished if file.workspace is self]:
                    file.discard()
                self.is_closed = True
                self.place.let_go(self, self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


ModelWorkspaces.workspace = ModelWorkspace


def chunks_of(data: bytes | str | Iterable[bytes]) -> Iterable[bytes]:
    """Give what is to be written as bytes, piece by piece."""
    if isinstance(data, str):
        return (data.encode("utf-8"),)
    if isinstance(data, bytes | bytearray | memoryview):
        return (bytes(data),)
    read = getattr(data, "read", None)
    if read is None and not isinstance(data, Iterable):
        raise InvalidArgumentError("data", data, "give bytes, text, chunks of bytes, or a file that is open in binary")
    return map(_bytes_of, data if read is None else _pieces_of(read))


def _pieces_of(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(65_536):
        yield piece


def _bytes_of(chunk: object) -> bytes:
    if not isinstance(chunk, bytes | bytearray | memoryview):
        raise InvalidArgumentError("data", type(chunk), "it gives no bytes; open a file in binary, and encode text")
    return bytes(chunk)
