"""The verbs of the model that a clean-up asks about the whole store."""

from sessionguard.core import fleet as f
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.testing.model.keeping import now
from sessionguard.testing.model.many import ModelMany


class ModelFleet(ModelMany):
    """Counting what is due, and giving turns."""

    def census(self, command: f.Census) -> f.Counted:
        with self.step():
            active = sum(entry.record.reason is None for entry in self.entries.values())
            return f.Counted(len(self.expired(now(command))), active)

    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        with self.step():
            return tuple(entry.record for entry in self.expired(now(command))[: command.limit])

    def take_turn(self, command: f.TakeTurn) -> Outcome:
        with self.step():
            if self.is_anothers(command):
                return Outcome.CONFLICT
            self.turns[command.name] = command.holder, now(command), now(command) + command.lease_us
            return Outcome.DONE

    def give_turn(self, command: f.GiveTurn) -> Outcome:
        with self.step():
            if self.is_anothers(command):
                return Outcome.CONFLICT
            self.turns.pop(command.name, None)
            return Outcome.DONE

    def is_anothers(self, command: f.TakeTurn | f.GiveTurn) -> bool:
        """Tell whether somebody else has the turn at this instant."""
        holder, taken_us, until_us = self.turns.get(command.name, (command.holder, 0, 0))
        # Taken in the future by a clock that was put right since: whoever has it may be dead.
        return holder != command.holder and taken_us <= now(command) < until_us
