"""Private directories of sessions on the local disk: leased, atomic, bounded, removed without a trace."""

from sessionguard.workspaces.local.workspace import LocalWorkspace
from sessionguard.workspaces.local.workspaces import LocalWorkspaces

__all__ = ["LocalWorkspace", "LocalWorkspaces"]
