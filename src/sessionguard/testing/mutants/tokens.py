"""Planted bugs in loading and rotating: deadlines, scopes, grace, and replies for someone else."""

from typing import Any

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core import leases as le
from sessionguard.core.lifecycle import Refusal
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import is_anonymous
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry
from sessionguard.testing.mutants.planting import Gap, planted


@planted(
    "a_session_loads_until_its_idle_deadline",
    "a_session_loads_until_its_absolute_deadline",
    "sweep_keeps_to_the_boundary",
    "a_save_after_expiry_is_refused",
    "touch_never_revives",
    "end_after_expiry_is_refused",
)
class AliveAtItsDeadline(ModelStore):
    """Takes a session for alive at the very instant of its deadline: `>` where `>=` is meant."""

    def is_over(self, record: SessionRecord, now_us: int) -> bool:
        return now_us > record.expires_us


@planted("sweep_keeps_to_the_boundary")
class SweepsATickEarly(ModelStore):
    """Sweeps what will have expired a tick later, while `load` still gives it out."""

    def expired(self, now_us: int) -> list[Entry]:
        return super().expired(now_us + 1)


@planted("touch_stops_at_the_absolute_deadline", "a_session_loads_until_its_absolute_deadline")
class LivesForEver(ModelStore):
    """Extends a session past its absolute deadline, so one that is kept busy never ends."""

    def extend(self, entry: Entry, now_us: int) -> None:
        entry.record = evolve(entry.record, last_seen_us=now_us, expires_us=now_us + entry.lifetime.idle_us)


@planted("a_clock_that_went_back_shortens_nothing")
class BelievesEveryClock(ModelStore):
    """Stores the last seen instant as it comes, so a host whose clock is behind shortens lives."""

    def extend(self, entry: Entry, now_us: int) -> None:
        expires_us = min(now_us + entry.lifetime.idle_us, entry.record.absolute_us)
        entry.record = evolve(entry.record, last_seen_us=now_us, expires_us=expires_us)


@planted("load_gives_the_session_of_the_token", "a_read_is_not_a_write", "get_or_create_touches_when_due")
class TouchesAtEveryRead(ModelStore):
    """Writes at every read, however short the time since the last one."""

    def touch_if_due(self, entry: Entry, now_us: int) -> bool:
        self.extend(entry, now_us)
        return True


@planted("the_scope_filters", "a_scope_is_compared_as_it_is")
class IgnoresTheScope(ModelStore):
    """`load` gives out sessions of any scope."""

    def refusal(self, record: SessionRecord, command: c.Load) -> Refusal | None:
        return super().refusal(record, evolve(command, scope=None))


@planted(
    "the_former_token_loads_only_in_its_grace",
    "without_grace_the_former_token_is_dead_at_once",
)
class GraceForEver(ModelStore):
    """Honours the token before a rotation as long as the session lives."""

    def is_in_grace(self, record: SessionRecord, now_us: int) -> bool:
        return True


@planted("the_former_token_loads_only_in_its_grace")
class NoGrace(ModelStore):
    """Drops the former token at once, so requests under way lose their session at a rotation."""

    def is_in_grace(self, record: SessionRecord, now_us: int) -> bool:
        return False


@planted("rotations_from_one_token_have_one_winner", "a_token_in_its_grace_never_rotates", "one_rotation_wins")
class RotatesWithoutCompare(ModelStore):
    """Rotates whatever the current token is, so two rotations that meet leave one client with a dead token."""

    def expects(self, record: SessionRecord, command: c.Rotate) -> bool:
        return True


@planted("one_rotation_wins")
class ComparesThenRotates(Gap):
    """Compares the token and replaces it in a second step."""

    def expects(self, record: SessionRecord, command: c.Rotate) -> bool:
        expected = super().expects(record, command)
        self.gap()
        return expected


@planted("login_leaves_the_former_slot", "login_never_lands_in_the_owners_slot")
class LoginTakesTheSlot(ModelStore):
    """A session that receives an owner stays exclusive and so lands in that owner's slot, beside the one there."""

    def rotated(self, record: SessionRecord, command: c.Rotate) -> SessionRecord:
        rotated = super().rotated(record, command)
        return rotated if command.owner is None else evolve(rotated, exclusive=True)


@planted("callers_never_see_each_other")
class OneReplyForAll(Gap):
    """Keeps the record of the request that it is serving in one place for all threads."""

    def load(self, command: c.Load) -> c.Loaded:
        loaded = super().load(command)
        with self.step():
            self._current = loaded
            self.gap()
            return self._current


@planted("load_gives_the_session_of_the_token")
class AnswersTheFormerQuestion(ModelStore):
    """Once a reply was left unread, every reply is the one to the question before."""

    def __init__(self) -> None:
        super().__init__()
        self._unread = c.Loaded(None, refusal="unknown")

    def load(self, command: c.Load) -> c.Loaded:
        answer, self._unread = self._unread, super().load(command)
        return answer


@planted("who_knew_a_visitor_saves_nothing_after_its_login")
class SavesForWhoeverKnewIt(ModelStore):
    """`save` does not look whose the session is by now, so who planted its token writes into it after the login."""

    def is_taken(self, record: SessionRecord, command: c.Save | c.Touch | c.End) -> bool:
        return not isinstance(command, c.Save) and super().is_taken(record, command)


@planted("who_knew_a_visitor_saves_nothing_after_its_login")
class ReadsForWhoeverKnewIt(ModelStore):
    """`save` looks whose the session is only where there is something to write, and shows it to who saves nothing."""

    def is_taken(self, record: SessionRecord, command: c.Save | c.Touch | c.End) -> bool:
        is_read = isinstance(command, c.Save) and not command.changes and not command.remove
        return not is_read and super().is_taken(record, command)


@planted("who_knew_a_visitor_touches_nothing_after_its_login")
class TouchesForWhoeverKnewIt(ModelStore):
    """`touch` does not look whose the session is by now."""

    def is_taken(self, record: SessionRecord, command: c.Save | c.Touch | c.End) -> bool:
        return not isinstance(command, c.Touch) and super().is_taken(record, command)


@planted("who_knew_a_visitor_ends_nothing_after_its_login")
class EndsForWhoeverKnewIt(ModelStore):
    """`end` does not look whose the session is by now, so who planted its token logs its owner out."""

    def is_taken(self, record: SessionRecord, command: c.Save | c.Touch | c.End) -> bool:
        return not isinstance(command, c.End) and super().is_taken(record, command)


@planted("who_knew_a_visitor_locks_nothing_after_its_login")
class LocksForWhoeverKnewIt(ModelStore):
    """`acquire_lock` does not look whose the session is by now, so who planted its token keeps its owner waiting."""

    def is_taken(self, record: SessionRecord, command: Any) -> bool:
        return not isinstance(command, c.AcquireLock) and super().is_taken(record, command)


@planted("who_knew_a_visitor_locks_nothing_after_its_login")
class LocksForWhoHadTheLock(ModelStore):
    """`acquire_lock` gives a lock to who held it before the login, whose session it is not."""

    def is_taken(self, record: SessionRecord, command: Any) -> bool:
        holding = self.holdings.get((record.id, getattr(command, "name", "")))
        had_it = isinstance(command, c.AcquireLock) and holding is not None and self.holds(holding, command)
        return not had_it and super().is_taken(record, command)


@planted("who_knew_a_visitor_locks_nothing_after_its_login", "who_knew_a_visitor_holds_nothing_new_after_its_login")
class RefusesWhoLoggedIn(ModelStore):
    """After a login nobody locks or holds the session, not even its owner."""

    def is_taken(self, record: SessionRecord, command: Any) -> bool:
        claims = isinstance(command, c.AcquireLock | le.HoldLease) and command.meant is not None
        return (claims and not is_anonymous(record.owner)) or super().is_taken(record, command)
