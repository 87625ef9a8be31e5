"""Private directories of sessions on the local disk: leased, atomic, bounded, removed without a trace.

The awaitable twins are in `sessionguard.workspaces.async_local`, so that blocking programs do not load asyncio.
"""

from sessionguard.workspaces.cleanup import Removal
from sessionguard.workspaces.local import LocalWorkspaces
from sessionguard.workspaces.quota import Quota, Usage
from sessionguard.workspaces.workspace import Workspace

__all__ = ["LocalWorkspaces", "Quota", "Removal", "Usage", "Workspace"]
