"""All workspaces of one deployment for asyncio: the same calls as `LocalWorkspaces`, awaitable."""

import os
from functools import partial

from sessionguard.core.commands import Fence
from sessionguard.offloading import in_thread
from sessionguard.workspaces.cleanup import Removal
from sessionguard.workspaces.local import LocalWorkspaces
from sessionguard.workspaces.offloaded import AsyncWorkspace
from sessionguard.workspaces.quota import Quota

__all__ = ["AsyncLocalWorkspaces", "AsyncWorkspace"]


class AsyncLocalWorkspaces:
    """`LocalWorkspaces` whose calls run in threads."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._blocking = LocalWorkspaces(root)

    async def open(self, deployment_id: str) -> None:
        """Work below the root in a part of this deployment's own."""
        await in_thread(partial(self._blocking.open, deployment_id))

    async def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> AsyncWorkspace:
        """Give the workspace of a session, made on first use; it is not removed before it is closed."""
        return await AsyncWorkspace.lease(self._blocking, session_id, quota, fence)

    async def remove(self, session_id: str) -> Removal:
        """Remove the workspace of a session, at once or when its last lease ends."""
        return await in_thread(partial(self._blocking.remove, session_id))

    async def quarantine(self, session_id: str) -> bool:
        """Put the workspace of a session that the store has lost out of everyone's reach."""
        return await in_thread(partial(self._blocking.quarantine, session_id))

    async def candidates(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give up to `limit` sessions whose directories may be garbage."""
        return await in_thread(partial(self._blocking.candidates, limit, deployment_id))
