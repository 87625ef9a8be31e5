"""Removing the workspace of a session that has ended, and keeping apart that of one that was lost."""

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core.driving import Flow, perform
from sessionguard.core.session import NOTHING_REMOVED, Removed
from sessionguard.core.setting import Setting


def remove_workspace(setting: Setting, session_id: str) -> Flow[Removed]:
    """Remove a workspace; a failure is told and left to the next pass, for the session has ended already."""
    if not setting.has_files:
        return NOTHING_REMOVED
    try:
        removal = yield from perform(c.RemoveWorkspace(session_id))
    except Exception as error:
        setting.bus.publish(e.CleanupFailed(session_id, f"{type(error).__name__}: {error}"))
        return Removed(deferred=True)
    removed = Removed(removal.files, removal.bytes, removal.deferred)
    if removed != NOTHING_REMOVED:
        setting.bus.publish(e.WorkspaceRemoved(session_id, removed.files, removed.bytes, removed.deferred))
    return removed


def keep_apart(setting: Setting, session_id: str) -> Flow[bool]:
    """Put the files of a lost session into quarantine, for a person to judge; False if that kept nothing."""
    if not setting.has_files:
        return False
    try:
        return (yield from perform(c.QuarantineWorkspace(session_id)))
    except Exception as error:
        setting.bus.publish(e.CleanupFailed(session_id, f"{type(error).__name__}: {error}"))
        return False


def quarantine_lost(setting: Setting, session_id: str) -> Flow[None]:
    """Keep the files of a session that the store does not know, and tell that it was lost if there were any.

    Without files nothing tells a session that was lost from one that ended and was forgotten.
    """
    if (yield from keep_apart(setting, session_id)):
        setting.bus.publish(e.SessionLost(session_id))
