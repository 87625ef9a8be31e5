"""Workspaces without a session: those that a crash or a lease left, and those of which the store knows nothing."""

from collections.abc import Callable

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core.driving import Flow, perform
from sessionguard.core.inspecting import FindLeftovers, IsWorkspaceYoung, MeasureWorkspace
from sessionguard.core.instants import from_us
from sessionguard.core.records import SessionRecord
from sessionguard.core.removing import quarantine_lost, remove_workspace
from sessionguard.core.reports import Tally
from sessionguard.core.session import Removed
from sessionguard.core.setting import Setting


def as_stored(session_id: str) -> Flow[SessionRecord | None]:
    """Give the record as it was before anything expired: who removes files must not go by a clock.

    What has expired by a clock that is ahead may be in use by all others; a sweep ends it first.
    """
    return (yield from perform(c.Get(session_id, from_us(0))))


def collect_garbage(setting: Setting, open_workspaces: Callable[[], Flow[str]], limit: int, tally: Tally) -> Flow[None]:
    """Look at up to `limit` workspaces, remove those of ended sessions, and leave what fails to the next pass."""
    if not setting.has_files:
        return
    try:
        deployment_id = yield from open_workspaces()
        found = yield from perform(c.FindGarbage(limit, deployment_id))
    except Exception as error:
        # What was ended stays ended and is reported; the next pass looks for garbage again.
        setting.bus.publish(e.CleanupFailed(None, f"{type(error).__name__}: {error}"))
        return
    garbage, lost = yield from _sorted_out(setting, found)
    # Asked last: to a store that took the place of another meanwhile, every session of that is unknown.
    if garbage + lost and (yield from perform(c.Identify())) != deployment_id:
        setting.bus.publish(e.CleanupFailed(None, "the store became another one meanwhile, so no garbage was removed"))
        return
    for session_id in garbage:
        tally.count(session_id, (yield from remove_workspace(setting, session_id)))
    for session_id in lost:
        yield from quarantine_lost(setting, session_id)


def foresee_garbage(setting: Setting, deployment_id: str, limit: int, tally: Tally) -> Flow[None]:
    """Count what `collect_garbage` would remove now, and remove nothing."""
    found = yield from perform(FindLeftovers(limit, deployment_id))
    garbage, _ = yield from _sorted_out(setting, found)
    for session_id in garbage:
        yield from foresee(session_id, tally)


def foresee(session_id: str, tally: Tally) -> Flow[None]:
    """Count what would be removed with one session, if its place can tell."""
    measured = yield from perform(MeasureWorkspace(session_id))
    if measured is not None:
        tally.count(session_id, Removed(measured.files, measured.bytes, measured.deferred))


def _sorted_out(setting: Setting, found: list[str]) -> Flow[tuple[list[str], list[str]]]:
    """Give those to be removed, and those to be kept apart."""
    garbage, lost = [], []
    for session_id in found:
        record = yield from as_stored(session_id)
        # A workspace outlives its session only by accident or by a lease; ids are never used again.
        if record is not None:
            if record.reason is not None:
                garbage.append(session_id)
        elif setting.may_forget:
            lost.append(session_id)
        # The store may be behind for a while, such as a backup that is being restored: what is young is left alone.
        elif not (yield from _is_young(setting, session_id)):
            garbage.append(session_id)
    return garbage, lost


def _is_young(setting: Setting, session_id: str) -> Flow[bool]:
    if not setting.orphan_age:
        return False
    return (yield from perform(IsWorkspaceYoung(session_id, setting.orphan_age, setting.at())))
