"""Private files of sessions: leased, atomic, bounded, removed without a trace.

`contract` says what any place for them does; `local` keeps them on the disk. The awaitable twins of all places are in
`sessionguard.workspaces.offloaded`, so that blocking programs do not load asyncio.
"""

from sessionguard.workspaces.contract import Removal, Workspace, Workspaces
from sessionguard.workspaces.limits import ARCHIVE_LIMITS, ArchiveLimits, Exported
from sessionguard.workspaces.local import LocalWorkspace, LocalWorkspaces
from sessionguard.workspaces.naming import nearest_name
from sessionguard.workspaces.quota import OwnerQuota, Quota, Usage

__all__ = [
    "ARCHIVE_LIMITS",
    "ArchiveLimits",
    "Exported",
    "LocalWorkspace",
    "LocalWorkspaces",
    "OwnerQuota",
    "Quota",
    "Removal",
    "Usage",
    "Workspace",
    "Workspaces",
    "nearest_name",
]
