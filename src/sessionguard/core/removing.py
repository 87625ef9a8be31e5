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


def tell_lost(setting: Setting, session_id: str) -> Flow[None]:
    """Tell that the store has lost a session, and keep its files for a person to judge: they may be all there is."""
    if setting.has_files:
        try:
            yield from perform(c.QuarantineWorkspace(session_id))
        except Exception as error:
            setting.bus.publish(e.CleanupFailed(session_id, f"{type(error).__name__}: {error}"))
    setting.bus.publish(e.SessionLost(session_id))
