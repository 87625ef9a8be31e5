"""A place for files that machines share: it cannot tell who uses what, and removes whatever it is told to."""

from collections import defaultdict
from typing import Any, cast

from sessionguard.core.commands import Fence
from sessionguard.workspaces import Quota, Workspaces
from sessionguard.workspaces.contract import Removal


class SharedFiles:
    """The files of one session there."""

    def __init__(self, session_id: str, files: dict[str, bytes]) -> None:
        self.session_id = session_id
        self._files = files

    def write(self, name: str, data: bytes) -> int:
        """Keep a file."""
        self._files[name] = data
        return len(data)

    def read(self, name: str) -> bytes:
        """Give a file."""
        return self._files[name]

    def close(self) -> None:
        """Nothing to let go of: the lease is in the store."""

    def __enter__(self) -> "SharedFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SharedPlace:
    """All of them."""

    leases_in_store = True

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, bytes]] = defaultdict(dict)

    def open(self, deployment_id: str) -> None:
        """There is one."""

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> SharedFiles:
        """Give the files of a session."""
        return SharedFiles(session_id, self.kept[session_id])

    def remove(self, session_id: str) -> Removal:
        """Remove them, whoever uses them."""
        files = self.kept.pop(session_id, {})
        return Removal(len(files), sum(map(len, files.values())), deferred=False)

    def quarantine(self, session_id: str) -> bool:
        """Keep nothing apart."""
        return False

    def candidates(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give who has files."""
        return list(self.kept)[:limit]


def shared_place() -> Any:
    """Give an empty one, as a guard takes it."""
    return cast(Workspaces, SharedPlace())
