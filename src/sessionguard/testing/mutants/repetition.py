"""Planted bugs in recognising a command that comes again after its reply was lost."""

from typing import Any

from sessionguard.core import commands as c
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry
from sessionguard.testing.mutants.planting import planted


@planted(
    "repeated_save_counts_once",
    "repeated_save_overwrites_nothing_newer",
    "repeated_end_is_one_end",
    "repeated_end_owner_answers_the_same",
)
class NeverRecognises(ModelStore):
    """Takes every command for a new one, so a retry saves twice and is told that its own end was another's."""

    def has_done(self, entry: Entry, command: Any) -> bool:
        return False


@planted("repeated_save_overwrites_nothing_newer")
class RemembersOnlyTheLast(ModelStore):
    """Remembers one command a session, so a retry after another's save overwrites that."""

    def remember(self, entry: Entry, operation_id: str) -> None:
        entry.operations[:] = [operation_id]


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


@planted("repeated_end_owner_spares_later_sessions")
class EndsOnceMore(ModelStore):
    """`end_owner` that comes again ends the sessions that the owner has opened since."""

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        with self.step():
            repeated = tuple(entry.record for entry in self.entries.values() if self.has_done(entry, command))
        for record in repeated:
            self.entries[record.id].operations.remove(command.operation_id)
        return c.Ended(super().end_owner(command).records or repeated)
