"""The verbs of the model that are about leases."""

from sessionguard.core import leases as le
from sessionguard.core.lifecycle import Outcome, settled
from sessionguard.core.visitors import LOGIN_REASON
from sessionguard.testing.model.keeping import Entry, LeaseHeld, ModelBase, now


class ModelLeases(ModelBase):
    """Holding a session, and letting go of it."""

    def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        with self.step():
            entry = self.entries.get(command.session_id)
            if entry is None:
                return le.LeaseReply(Outcome.ENDED)
            reason = settled(entry.record, now(command)).reason
            if reason is None and self.is_taken(entry.record, command):
                reason = LOGIN_REASON
            if self.has_let_go(entry, command):
                return le.LeaseReply(Outcome.CONFLICT, reason=reason)
            if not self.is_held_by(entry, command) and not self.may_begin(reason):
                return le.LeaseReply(Outcome.ENDED, reason=reason)
            return self.held(entry, command, reason)

    def held(self, entry: Entry, command: le.HoldLease, reason: str | None) -> le.LeaseReply:
        """Give or prolong the lease."""
        if not self.is_held_by(entry, command):
            entry.lease_count += 1
            entry.leases[command.holder] = LeaseHeld(entry.lease_count, 0)
        lease = entry.leases[command.holder]
        lease.until_us = now(command) + command.lease_us
        self.drop_lapsed(entry, now(command))
        if reason is None:
            self.see(entry, now(command))
        return le.LeaseReply(Outcome.DONE, lease.fence, lease.until_us, self.lowest(entry), reason)

    def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        with self.step():
            entry = self.entries.get(command.session_id)
            if entry is None:
                return le.LeaseReply(Outcome.CONFLICT)
            was_held = self.is_held_by(entry, command)
            done = was_held or self.has_let_go(entry, command)
            self.let_go(entry, command)
            self.drop_lapsed(entry, now(command))
            if was_held:
                self.remember(entry, command.holder)
            reason = settled(entry.record, now(command)).reason
            outcome = Outcome.DONE if done else Outcome.CONFLICT
            return le.LeaseReply(outcome, until_us=self.last_lapse(entry, now(command)), reason=reason)

    def let_go(self, entry: Entry, command: le.ReleaseLease) -> None:
        """Take the lease from its holder."""
        entry.leases.pop(command.holder, None)

    def leased_until(self, command: le.FindLease) -> int | None:
        with self.step():
            entry = self.entries.get(command.session_id)
            return None if entry is None else self.last_lapse(entry, now(command)) or None

    def is_held_by(self, entry: Entry, command: le.HoldLease | le.ReleaseLease) -> bool:
        """Tell whether this holder holds it at this instant."""
        lease = entry.leases.get(command.holder)
        return lease is not None and self.is_living(lease, now(command))

    def is_living(self, lease: LeaseHeld, now_us: int) -> bool:
        """Tell whether the lease has not lapsed."""
        return now_us < lease.until_us

    def has_let_go(self, entry: Entry, command: le.HoldLease | le.ReleaseLease) -> bool:
        """Tell whether this holder gave it back before."""
        return command.holder in entry.operations

    def may_begin(self, reason: str | None) -> bool:
        """Tell whether someone may begin to hold a session that is over for this reason, or not at all."""
        return reason is None

    def see(self, entry: Entry, now_us: int) -> None:
        """Extend the session, as a touch does."""
        raise NotImplementedError

    def drop_lapsed(self, entry: Entry, now_us: int) -> None:
        """Forget who let it lapse."""
        entry.leases = {name: lease for name, lease in entry.leases.items() if self.is_living(lease, now_us)}

    def lowest(self, entry: Entry) -> int:
        """Give the lowest fence of those who hold it, or the last that was given out."""
        return min((lease.fence for lease in entry.leases.values()), default=entry.lease_count)
