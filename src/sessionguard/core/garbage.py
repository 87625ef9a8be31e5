"""Workspaces without a session: those that a crash or a lease left, and those of which the store knows nothing."""

import hashlib
from collections.abc import Callable

from attrs import field, frozen

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core.driving import Flow, perform
from sessionguard.core.file_commands import FindGarbage
from sessionguard.core.inspecting import FindLeftovers, IdentifyPlace, IsWorkspaceYoung, MeasureWorkspace
from sessionguard.core.instants import from_us
from sessionguard.core.records import SessionRecord
from sessionguard.core.removing import quarantine_lost, remove_workspace
from sessionguard.core.reports import Tally
from sessionguard.core.session import Removed
from sessionguard.core.setting import Setting
from sessionguard.core.turns import LEAD, RUN, RUN_SECONDS, Turns


def as_stored(session_id: str) -> Flow[SessionRecord | None]:
    """Give the record as it was before anything expired: who removes files must not go by a clock.

    What has expired by a clock that is ahead may be in use by all others; a sweep ends it first.
    """
    return (yield from perform(c.Get(session_id, from_us(0))))


@frozen
class Garbage:
    """Looks after one place for files, in turn with the others that have the same place and not with those of others.

    Whoever ends a session can remove only the files that are where it is. So who has a place looks there itself for
    what others ended, and nobody waits for a process that has another place, or none.
    """

    _setting: Setting = field(alias="setting")
    _turns: Turns = field(alias="turns")
    _open_workspaces: Callable[[], Flow[str]] = field(alias="open_workspaces")
    _is_stopping: Callable[[], bool] = field(alias="is_stopping")

    def collect(self, limit: int, tally: Tally, *, in_turn: bool, lead_seconds: float = 0.0) -> Flow[None]:
        """Look at up to `limit` workspaces, remove those of ended sessions, and leave what fails to the next pass.

        With `lead_seconds` only as the one that does so for all who have this place, which others may be after so long.
        """
        if not self._setting.has_files or self._is_stopping():
            return
        try:
            deployment_id = yield from self._open_workspaces()
            run = yield from self._turn(in_turn, lead_seconds)
        except Exception as error:
            self._tell(error)
            return
        if run is None:
            return
        try:
            yield from self._removed(limit, deployment_id, tally, run)
        except Exception:
            yield from self._turns.give(run)
            raise
        yield from self._turns.give(run)

    def _turn(self, in_turn: bool, lead_seconds: float) -> Flow[str | None]:
        """Take the turn, if there is one for this place, and give its name; None: another has it."""
        place = yield from perform(IdentifyPlace())
        if place is None or not in_turn:
            return ""
        name = _named(place)
        if lead_seconds and not (yield from self._turns.take(LEAD + name, lead_seconds)):
            return None
        return RUN + name if (yield from self._turns.take(RUN + name, RUN_SECONDS)) else None

    def _removed(self, limit: int, deployment_id: str, tally: Tally, run: str) -> Flow[None]:
        try:
            found = yield from perform(FindGarbage(limit, deployment_id))
        except Exception as error:
            # What was ended stays ended and is reported; the next pass looks for garbage again.
            self._tell(error)
            return
        garbage, lost = yield from _sorted_out(self._setting, found)
        # Asked last: to a store that took the place of another meanwhile, every session of that is unknown.
        if garbage + lost and (yield from perform(c.Identify())) != deployment_id:
            self._tell("the store became another one meanwhile, so no garbage was removed")
            return
        for session_id in garbage:
            if tally.is_place_lost or not (yield from self._goes_on(run)):
                return
            yield from remove_workspace(self._setting, session_id, tally)
        for session_id in lost:
            if not (yield from self._goes_on(run)):
                return
            yield from quarantine_lost(self._setting, session_id)

    def _goes_on(self, run: str) -> Flow[bool]:
        if self._is_stopping():
            return False
        return not run or (yield from self._turns.keep(run, RUN_SECONDS))

    def _tell(self, why: Exception | str) -> None:
        text = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
        self._setting.bus.publish(e.CleanupFailed(None, text))


def _named(place: str) -> str:
    """Give what is added to the names of turns about a place, in which its path or bucket is not to be read."""
    return " in " + hashlib.blake2b(place.encode(), digest_size=16).hexdigest()


def foresee_garbage(setting: Setting, deployment_id: str, limit: int, tally: Tally) -> Flow[None]:
    """Count what `Garbage.collect` would remove now, and remove nothing."""
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
    try:
        return (yield from perform(IsWorkspaceYoung(session_id, setting.orphan_age, setting.at())))
    except Exception as error:
        # Whose age cannot be told is left alone, and hinders nobody else.
        setting.bus.publish(e.CleanupFailed(session_id, f"{type(error).__name__}: {error}"))
        return True
