"""Planted bugs in recognising a command that comes again after its reply was lost."""

from typing import Any, ClassVar

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Answer, Entry
from sessionguard.testing.mutants.planting import Gap, planted


@planted(
    "repeated_save_counts_once",
    "repeated_save_overwrites_nothing_newer",
    "repeated_end_is_one_end",
    "repeated_replace_ends_once",
)
class NeverRecognises(ModelStore):
    """Takes every command for a new one, so a retry saves twice and is told that its own end was another's."""

    def has_done(self, entry: Entry, command: Any) -> bool:
        return False


@planted("repeated_save_overwrites_nothing_newer", "repeated_save_is_known_after_many_others")
class RemembersOnlyTheLast(ModelStore):
    """Remembers one command a session, so a retry after another's save overwrites that."""

    def remember(self, entry: Entry, operation_id: str) -> None:
        entry.operations[:] = [operation_id]


@planted("repeated_save_is_known_after_many_others")
class RemembersTheLastEight(ModelStore):
    """Remembers eight commands a session, which a busy one goes through while a single retry waits."""

    def remember(self, entry: Entry, operation_id: str) -> None:
        entry.operations[:] = [*entry.operations, operation_id][-8:]


@planted("repeated_opening_never_reopens", "repeated_replace_ends_once", "ids_are_never_reused")
class OpensAgain(ModelStore):
    """Opens once more when an opening command comes again: replace ends its own session, create revives one."""

    def known(self, command: Any) -> c.Opened | None:
        return None


@planted("repeated_opening_never_reopens")
class ReopensTheSlot(ModelStore):
    """`get_or_create` that comes again after its session has ended opens it again, with the same id and token."""

    def known(self, command: Any) -> c.Opened | None:
        known = super().known(command)
        return None if isinstance(command, c.GetOrCreate) else known


@planted(
    "repeated_get_or_create_names_whom_it_ended",
    "repeated_replace_ends_once",
    "repeated_replace_names_whom_it_ended_and_no_other",
)
class ForgetsWhomItEnded(ModelStore):
    """An opening command that comes again no longer names the session that it ended, so that one's files stay."""

    def known(self, command: Any) -> c.Opened | None:
        known = super().known(command)
        return known and evolve(known, ended=())


class _DoesOnceMore(ModelStore):
    verb: ClassVar[type]

    def answered(self, command: c.EndOwner | c.Sweep | c.Purge) -> Answer | None:
        return None if isinstance(command, self.verb) else super().answered(command)


@planted(
    "repeated_end_owner_answers_the_same",
    "repeated_end_owner_spares_later_sessions",
    "repeated_end_owner_of_nobody_spares_who_came_since",
    "repetitions_at_once_give_one_answer",
)
class EndsOnceMore(_DoesOnceMore):
    """`end_owner` that comes again ends the sessions that the owner has opened since."""

    verb = c.EndOwner


@planted("repeated_sweep_answers_the_same", "repeated_sweep_harms_nobody", "repetitions_at_once_give_one_answer")
class SweepsOnceMore(_DoesOnceMore):
    """A sweep that comes again ends others than it did, and no longer reports the ones whose files are to go."""

    verb = c.Sweep


@planted("repeated_purge_answers_the_same", "repeated_purge_harms_nobody", "repetitions_at_once_give_one_answer")
class PurgesOnceMore(_DoesOnceMore):
    """A purge that comes again forgets more than it was to."""

    verb = c.Purge


@planted("repeated_end_owner_of_nobody_spares_who_came_since")
class LooksAtTheEnded(ModelStore):
    """Knows `end_owner` again by the sessions that it ended, so not if it ended none."""

    def answered(self, command: c.EndOwner | c.Sweep | c.Purge) -> Answer | None:
        answer = super().answered(command)
        return answer if answer is None or answer.session_ids or not isinstance(command, c.EndOwner) else None


@planted("repeated_sweep_answers_the_same")
class ForgetsThatThereWasMore(ModelStore):
    """A sweep that comes again says that nothing more is waiting, so whoever sweeps in batches stops."""

    def ended_again(self, answer: Answer) -> c.Ended:
        return c.Ended(super().ended_again(answer).records)


@planted("repeated_end_owner_leaves_out_who_was_purged", "repeated_sweep_harms_nobody")
class ReportsThePurged(ModelStore):
    """Keeps the records that it answered with, and reports them long after they were forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._forgotten: dict[str, SessionRecord] = {}

    def forget(self, record: SessionRecord) -> None:
        super().forget(record)
        self._forgotten[record.id] = record

    def ended_again(self, answer: Answer) -> c.Ended:
        known = {**self._forgotten, **{name: entry.record for name, entry in self.entries.items()}}
        return c.Ended(tuple(known[session_id] for session_id in answer.session_ids), answer.has_more)


@planted("what_was_answered_lately_outlives_a_purge")
class PurgesAllAnswers(ModelStore):
    """A purge forgets every answer, however young, so the retry of an `end_owner` logs out who came back."""

    def purge(self, command: c.Purge) -> c.Purged:
        with self.step():
            self.answers.clear()
        return super().purge(command)


@planted("repetitions_at_once_give_one_answer")
class LooksThenDoes(Gap):
    """Looks for an earlier answer and does what is asked in a second step, so two retries that meet both do it."""

    def answered(self, command: c.EndOwner | c.Sweep | c.Purge) -> Answer | None:
        answer = super().answered(command)
        if answer is None and isinstance(command, c.EndOwner):
            self.gap()
        return answer
