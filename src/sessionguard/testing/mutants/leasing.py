"""Planted bugs in leases, and in loads that are not to extend a session."""

from typing import Any

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core import leases as le
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.core.visitors import LOGIN_REASON
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry, LeaseHeld, now
from sessionguard.testing.mutants.planting import Gap, planted


@planted("many_hold_a_session_at_once", "holders_at_once_all_hold")
class LetsOneHold(ModelStore):
    """Whoever comes takes the lease from who had it."""

    def held(self, entry: Entry, command: le.HoldLease, reason: str | None) -> le.LeaseReply:
        entry.leases = {name: one for name, one in entry.leases.items() if name == command.holder}
        return super().held(entry, command, reason)


@planted("a_lease_lapses_at_its_instant")
class LeasesOneTickTooLong(ModelStore):
    """A lease lives at the instant at which it lapses."""

    def is_living(self, lease: LeaseHeld, now_us: int) -> bool:
        return now_us <= lease.until_us


@planted("holding_a_session_extends_it")
class HoldsWithoutTouching(ModelStore):
    """A session that is held expires by idleness."""

    def see(self, entry: Entry, now_us: int) -> None:
        pass


@planted("a_lease_outlives_its_session", "holders_meet_an_end")
class EndsLeasesWithTheSession(ModelStore):
    """Files of a session that ends are in use by nobody."""

    def finish(self, entry: Entry, reason: str, now_us: int, operation_id: str) -> SessionRecord:
        entry.leases.clear()
        return super().finish(entry, reason, now_us, operation_id)


@planted("nobody_begins_to_hold_a_dead_session", "holders_meet_an_end")
class HoldsTheDead(ModelStore):
    """Someone may begin to hold a session that has ended, whose files are being removed."""

    def may_begin(self, reason: str | None) -> bool:
        return True


@planted("only_its_holder_lets_go_of_a_lease", "holders_at_once_all_hold")
class LetsGoOfAll(ModelStore):
    """Who lets go ends every lease."""

    def let_go(self, entry: Entry, command: le.ReleaseLease) -> None:
        entry.leases.clear()


@planted("only_its_holder_lets_go_of_a_lease")
class SaysThatEveryLeaseWasHeld(ModelStore):
    """Who let its lease lapse never learns of it."""

    def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        return evolve(super().release_lease(command), outcome=Outcome.DONE)


@planted("repeated_holding_and_letting_go_have_one_effect")
class ForgetsWhoLetGo(ModelStore):
    """A repetition that comes late takes the lease again, for a holder that has gone."""

    def has_let_go(self, entry: Entry, command: le.HoldLease | le.ReleaseLease) -> bool:
        return isinstance(command, le.ReleaseLease) and super().has_let_go(entry, command)


@planted("repeated_holding_and_letting_go_have_one_effect")
class TakesRepetitionsForStrangers(ModelStore):
    """Tells a holder whose first reply was lost that its lease had lapsed."""

    def has_let_go(self, entry: Entry, command: le.HoldLease | le.ReleaseLease) -> bool:
        return isinstance(command, le.HoldLease) and super().has_let_go(entry, command)


@planted("a_held_session_is_not_forgotten")
class ForgetsTheHeld(ModelStore):
    """A purge forgets a session, and who holds it."""

    def is_forgettable(self, entry: Entry, command: c.Purge) -> bool:
        return super().is_forgettable(evolve(entry, leases={}), command)


@planted("a_save_under_a_lapsed_lease_is_refused", "stale_holders_meet_a_save")
class SavesUnderAnyLease(ModelStore):
    """Who was stopped past its lease overwrites what others have saved since."""

    def is_fenced(self, command: c.Save) -> bool:
        return command.fence is not None and command.fence.name != le.LEASE and super().is_fenced(command)


@planted("a_save_under_a_lapsed_lease_is_refused")
class FencesAsIfItWereALock(ModelStore):
    """Of those who hold a session together only the last may save."""

    def lowest(self, entry: Entry) -> int:
        return entry.lease_count


@planted("a_load_that_does_not_extend_writes_nothing")
class ExtendsAlways(ModelStore):
    """Every load extends the session."""

    def extends(self, command: c.Load) -> bool:
        return True


@planted("holders_at_once_all_hold")
class CountsHoldersInTwoSteps(Gap):
    """Looks how many came before, and comes in a second step: two get one fence."""

    def held(self, entry: Entry, command: le.HoldLease, reason: str | None) -> le.LeaseReply:
        count = entry.lease_count
        if not self.is_held_by(entry, command):
            self.gap()
            entry.lease_count = count
        return super().held(entry, command, reason)


@planted("who_knew_a_visitor_holds_nothing_new_after_its_login")
class HoldsForWhoeverKnewIt(ModelStore):
    """`hold_lease` does not look whose the session is by now, so who planted its token keeps it and its files."""

    def is_taken(self, record: SessionRecord, command: Any) -> bool:
        return not isinstance(command, le.HoldLease) and super().is_taken(record, command)


@planted("who_knew_a_visitor_holds_nothing_new_after_its_login")
class ExtendsForWhoHeldIt(ModelStore):
    """Who held a visitor's session goes on to extend it, once it is its owner's."""

    def held(self, entry: Entry, command: le.HoldLease, reason: str | None) -> le.LeaseReply:
        if reason == LOGIN_REASON:
            self.see(entry, now(command))
        return super().held(entry, command, reason)


@planted("who_knew_a_visitor_holds_nothing_new_after_its_login")
class LosesTheHoldAtTheLogin(ModelStore):
    """Who logs in has lost the hold under which he works."""

    def is_held_by(self, entry: Entry, command: le.HoldLease | le.ReleaseLease) -> bool:
        renews = isinstance(command, le.HoldLease) and self.is_taken(entry.record, command)
        return not renews and super().is_held_by(entry, command)
