"""Planted bugs in ending, sweeping and purging: the living harmed, the dead kept."""

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry, now
from sessionguard.testing.mutants.planting import Gap, planted


@planted("sweepers_spare_the_touched", "sweepers_share_the_work")
class SweepsByAStaleRead(Gap):
    """Selects what has expired and ends it in a second step, without looking again whether it was touched since."""

    def expired(self, now_us: int) -> list[Entry]:
        due = super().expired(now_us)
        if due:
            self.gap()
        return due

    def load(self, command: c.Load) -> c.Loaded:
        with self.step():
            self.await_gap()
        return super().load(command)


@planted("one_end_is_the_first")
class EndsWhatHasJustEnded(Gap):
    """`end` looks whether the session is active and ends it in a second step, over the reason of another."""

    def finish(self, entry: Entry, reason: str, now_us: int, operation_id: str) -> SessionRecord:
        self.gap()
        return super().finish(entry, reason, now_us, operation_id)


@planted("the_first_reason_stays", "end_after_expiry_is_refused")
class TheLastReasonWins(ModelStore):
    """`end` of an ended session overwrites its reason."""

    def end(self, command: c.End) -> c.Changed:
        with self.step():
            entry = self.entries.get(command.session_id)
            if entry is None:
                return self.refused(command)
            return c.Changed(Outcome.DONE, self.finish(entry, command.reason, now(command), command.operation_id))


@planted("an_end_spares_the_siblings")
class EndKillsSiblings(ModelStore):
    """`end` ends every session of the same owner, as a key pattern that ends in a star does."""

    def end(self, command: c.End) -> c.Changed:
        ended = super().end(command)
        if ended.outcome is Outcome.DONE and ended.record is not None:
            self.end_owner(
                c.EndOwner(ended.record.owner, None, None, command.reason, command.at, command.operation_id + "+")
            )
        return ended


@planted("end_owner_of_a_stranger_ends_nothing", "ending_an_owner_spares_the_look_alikes")
class EndsByPrefix(ModelStore):
    """`end_owner` ends the sessions of every owner whose name begins with the one given."""

    def is_meant(self, record: SessionRecord, command: c.EndOwner) -> bool:
        same = record.owner.startswith(command.owner)
        return same and super().is_meant(evolve(record, owner=command.owner), command)


@planted("end_owner_misses_no_successor")
class EndsWhomItSawFirst(Gap):
    """`end_owner` looks whom the owner has and ends those later, but not who has taken their place meanwhile."""

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        with self.step():
            seen = [entry.record.id for entry in self.entries.values() if entry.record.reason is None]
            self.gap()
            chosen = command.owner if any(self._is_active(session_id) for session_id in seen) else ""
        return super().end_owner(evolve(command, owner=chosen))

    def replace(self, command: c.Replace) -> c.Opened:
        with self.step():
            self.await_gap()
        return super().replace(command)

    def _is_active(self, session_id: str) -> bool:
        return session_id in self.entries and self.entries[session_id].record.reason is None


@planted("end_owner_can_keep_one_and_one_scope")
class EndsTheOneToKeep(ModelStore):
    """`end_owner` forgets the session to keep."""

    def is_meant(self, record: SessionRecord, command: c.EndOwner) -> bool:
        return super().is_meant(record, evolve(command, keep_id=None))


@planted("data_is_erased_at_the_end", "nothing_is_saved_after_the_end")
class KeepsDataAtTheEnd(ModelStore):
    """Leaves the data in the history of every ended session."""

    def finish(self, entry: Entry, reason: str, now_us: int, operation_id: str) -> SessionRecord:
        data = entry.record.data
        entry.record = evolve(super().finish(entry, reason, now_us, operation_id), data=data)
        return entry.record


@planted("sweep_goes_by_the_longest_expired_first")
class SweepsTheYoungestFirst(ModelStore):
    """Sweeps in the order of opening, newest first, so with a backlog the oldest are never reached."""

    def expired(self, now_us: int) -> list[Entry]:
        return super().expired(now_us)[::-1]


@planted("sweep_goes_by_the_longest_expired_first", "sweeping_in_batches_ends_each_once")
class SweepsWithoutLimit(ModelStore):
    """Sweeps everything at once, whatever the limit."""

    def sweep(self, command: c.Sweep) -> c.Ended:
        return super().sweep(evolve(command, limit=1_000_000))


@planted("sweep_spares_the_living", "a_touched_session_is_swept_at_its_new_deadline")
class SweepsByTheFirstDeadline(ModelStore):
    """Sweeps by the deadline that a session had when it was opened."""

    def expired(self, now_us: int) -> list[Entry]:
        active = [entry for entry in self.entries.values() if entry.record.reason is None]
        return [entry for entry in active if entry.record.created_us + entry.lifetime.idle_us <= now_us]


@planted("purge_spares_the_living")
class PurgesTheExpired(ModelStore):
    """Takes an expired session that nobody has swept for history, and forgets it."""

    def is_forgettable(self, entry: Entry, command: c.Purge) -> bool:
        over = entry.record.reason is None and self.is_over(entry.record, now(command))
        return over or super().is_forgettable(entry, command)


@planted("purge_keeps_history_until_its_retention_is_over", "purge_takes_an_age")
class PurgesAllHistory(ModelStore):
    """Forgets every ended session, however young."""

    def is_forgettable(self, entry: Entry, command: c.Purge) -> bool:
        return entry.record.ended_us is not None
