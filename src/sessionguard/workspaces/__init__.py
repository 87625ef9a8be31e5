"""Private directories of sessions on the local disk: leased, atomic, bounded, removed without a trace."""

from sessionguard.workspaces.async_local import AsyncLocalWorkspaces
from sessionguard.workspaces.cleanup import Removal
from sessionguard.workspaces.local import LocalWorkspaces
from sessionguard.workspaces.offloaded import AsyncFile, AsyncWorkspace
from sessionguard.workspaces.quota import Quota, Usage
from sessionguard.workspaces.workspace import Workspace

__all__ = ["AsyncFile", "AsyncLocalWorkspaces", "AsyncWorkspace", "LocalWorkspaces", "Quota", "Removal", "Usage", "Workspace"]
