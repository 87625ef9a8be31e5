"""Planted bugs in limits: who is counted, who goes, and whether both are one step."""

from typing import Any

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry, now
from sessionguard.testing.mutants.planting import Gap, planted


@planted("a_limit_holds_at_every_instant", "as_many_stay_as_allowed")
class CountsBeforeItOpens(Gap):
    """Counts the sessions of the owner, and opens one more in a second step, by which others have opened theirs."""

    def excess(self, command: Any, active: int) -> int:
        excess = super().excess(command, active)
        self.gap()
        return excess


@planted("the_expired_do_not_count")
class CountsTheExpired(ModelStore):
    """Takes an expired session for one that is in the way."""

    def make_room(self, command: Any, scope: str, owner: str, but: Entry | None) -> tuple[SessionRecord, ...] | None:
        mine = [e for e in self.entries.values() if self.counts(e.record, scope, owner)]
        if command.at_most is not None and sum(self.is_over(e.record, now(command)) for e in mine) and len(mine) > 1:
            return None
        return super().make_room(command, scope, owner, but)


@planted("a_login_too_many_is_refused", "a_login_ends_others_and_never_itself", "logins_are_limited_at_every_instant")
class ForgetsLogins(ModelStore):
    """Limits what is opened and not what logs in."""

    def make_room_for_login(self, command: c.Rotate, record: SessionRecord) -> tuple[SessionRecord, ...] | None:
        return ()


@planted("a_session_too_many_is_refused", "limits_are_of_one_owner_in_one_scope", "a_limit_holds_at_every_instant")
class CountsSlotsOnly(ModelStore):
    """Does not see the sessions that no slot knows."""

    def counts(self, record: SessionRecord, scope: str, owner: str) -> bool:
        return record.exclusive and super().counts(record, scope, owner)


@planted("limits_are_of_one_owner_in_one_scope")
class CountsAllScopes(ModelStore):
    """Counts what the owner has in other scopes, too."""

    def counts(self, record: SessionRecord, scope: str, owner: str) -> bool:
        return super().counts(record, record.scope, owner)


@planted("a_session_too_many_is_refused", "a_limit_holds_at_every_instant", "logins_are_limited_at_every_instant")
class AllowsOneMore(ModelStore):
    """Takes the limit for what there may be beside the new session."""

    def excess(self, command: Any, active: int) -> int:
        return super().excess(command, active) - 1


@planted("among_equals_the_id_decides")
class EndsOneAtMost(ModelStore):
    """Ends one session however many are too many."""

    def excess(self, command: Any, active: int) -> int:
        return min(super().excess(command, active), 1)


@planted("the_oldest_goes")
class EndsTheNewest(ModelStore):
    """Lets the sessions go in the wrong order."""

    def turn_to_go(self, command: Any, record: SessionRecord) -> tuple[int, str]:
        return -record.created_us, record.id


@planted("the_oldest_goes")
class TakesSeenForCreated(ModelStore):
    """Ends the one idle longest though the oldest is to go."""

    def turn_to_go(self, command: Any, record: SessionRecord) -> tuple[int, str]:
        return record.last_seen_us, record.id


@planted("the_one_idle_longest_goes")
class TakesCreatedForSeen(ModelStore):
    """Ends the oldest though the one idle longest is to go."""

    def turn_to_go(self, command: Any, record: SessionRecord) -> tuple[int, str]:
        return record.created_us, record.id


@planted("who_is_replaced_frees_its_place")
class CountsWhoIsReplaced(ModelStore):
    """Counts the session that is about to be replaced."""

    def make_room(self, command: Any, scope: str, owner: str, but: Entry | None) -> tuple[SessionRecord, ...] | None:
        return super().make_room(command, scope, owner, None)

    def give_way(self, holder: Entry | None, command: Any) -> tuple[SessionRecord, ...]:
        return () if holder is None or holder.record.reason is not None else super().give_way(holder, command)


@planted("finding_a_session_is_never_refused")
class LimitsWhatIsFound(ModelStore):
    """Judges `get_or_create` by the limit though the session is there."""

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        with self.step():
            holder = self.holder_of(command.new)
            if holder is not None and self.make_room(command, command.new.scope, command.new.owner, None) is None:
                return c.REFUSED
        return super().get_or_create(command)


@planted("a_repeated_opening_ends_nobody_else", "a_repeated_login_ends_nobody_else")
class ForgetsWhoHadToGo(ModelStore):
    """Answers a repetition without those whom the first time ended."""

    def ended_by(self, command: Any, but: Entry) -> tuple[SessionRecord, ...]:
        return ()


@planted("a_login_too_many_is_refused")
class RefusesAfterTheRotation(ModelStore):
    """Refuses a login with the token replaced already."""

    def make_room_for_login(self, command: c.Rotate, record: SessionRecord) -> tuple[SessionRecord, ...] | None:
        made = super().make_room_for_login(command, record)
        if made is None:
            entry = self.entries[record.id]
            entry.record = self.rotated(record, command)
        return made
