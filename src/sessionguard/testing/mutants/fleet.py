"""Planted bugs in what a clean-up asks about the whole store: a brake that does not hold, turns that two have."""

from attrs import evolve

from sessionguard.core import fleet as f
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import now
from sessionguard.testing.mutants.planting import Gap, planted


@planted("a_census_tells_whether_too_much_is_due")
class CountsTooManyAsActive(ModelStore):
    """Counts more sessions as active than nobody has ended, so that more may expire at once."""

    def census(self, command: f.Census) -> f.Counted:
        counted = super().census(command)
        return evolve(counted, active=2 * counted.active)


@planted("a_census_tells_whether_too_much_is_due")
class CountsDueBesideTheLiving(ModelStore):
    """Gives how many are living where all that are active are asked for, so it brakes at a lower share."""

    def census(self, command: f.Census) -> f.Counted:
        counted = super().census(command)
        return evolve(counted, active=counted.active - counted.due)


@planted("a_census_tells_whether_too_much_is_due")
class StopsCountingTooEarly(ModelStore):
    """Counts at most one that is not due."""

    def census(self, command: f.Census) -> f.Counted:
        counted = super().census(command)
        return evolve(counted, active=min(counted.active, counted.due + 1))


@planted("a_census_spares_small_numbers")
class CountsNoFurtherThanTheFloor(ModelStore):
    """Stops counting one before the floor, so that it is never reached."""

    def census(self, command: f.Census) -> f.Counted:
        counted = super().census(command)
        return evolve(counted, due=min(counted.due, command.floor - 1))


@planted("a_census_goes_by_the_instant", "a_census_counts_no_more_than_there_are")
class CountsByTheFirstDeadline(ModelStore):
    """Counts as due what was not touched or ended in time, though it was since."""

    def census(self, command: f.Census) -> f.Counted:
        at_us = now(command)
        due = sum(entry.record.created_us + entry.lifetime.idle_us <= at_us for entry in self.entries.values())
        return f.Counted(due, max(due, len(self.expired(at_us))))


@planted("looking_at_what_is_due_changes_nothing", "what_is_due_is_what_a_sweep_ends")
class EndsWhatItShows(ModelStore):
    """Ends what is due to tell what would end."""

    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        found = super().find_due(command)
        with self.step():
            for record in found:
                self.finish(self.entries[record.id], "expired", now(command), "dry run")
        return found


@planted("what_is_due_is_what_a_sweep_ends")
class ShowsTheYoungestFirst(ModelStore):
    """Shows what is due in another order than the one in which it is swept."""

    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        return super().find_due(evolve(command, limit=1_000_000))[::-1][: command.limit]


@planted("one_has_the_turn")
class GivesTurnsInTwoSteps(Gap):
    """Looks whether the turn is free and gives it in a second step."""

    def is_anothers(self, command: f.TakeTurn | f.GiveTurn) -> bool:
        anothers = super().is_anothers(command)
        if not anothers:
            self.gap()
        return anothers


@planted("a_turn_is_refused_to_others", "a_turn_is_given_back_by_its_holder", "one_has_the_turn", "a_turn_lapses")
class GivesEverybodyTheTurn(ModelStore):
    """Gives the turn to whoever asks last."""

    def is_anothers(self, command: f.TakeTurn | f.GiveTurn) -> bool:
        return False


@planted("a_turn_lapses")
class TurnsNeverLapse(ModelStore):
    """Waits for ever for a runner that has died."""

    def is_anothers(self, command: f.TakeTurn | f.GiveTurn) -> bool:
        return self.turns.get(command.name, (command.holder, 0, 0))[0] != command.holder


@planted("a_turn_that_was_taken_in_the_future_is_void")
class BelievesTheFuture(ModelStore):
    """Waits for a runner whose clock was ahead as long as that was."""

    def is_anothers(self, command: f.TakeTurn | f.GiveTurn) -> bool:
        holder, _, until_us = self.turns.get(command.name, (command.holder, 0, 0))
        return holder != command.holder and now(command) < until_us


@planted("a_turn_is_given_back_by_its_holder")
class GivesBackForAnybody(ModelStore):
    """Gives a turn back for a runner that lost it, so that a third comes beside the second."""

    def give_turn(self, command: f.GiveTurn) -> Outcome:
        with self.step():
            self.turns.pop(command.name, None)
            return Outcome.DONE


@planted("a_turn_is_refused_to_others")
class KeepsNoTurn(ModelStore):
    """Takes a turn only once: who asks to keep it keeps it no longer than at first."""

    def take_turn(self, command: f.TakeTurn) -> Outcome:
        before = self.turns.get(command.name)
        taken = super().take_turn(command)
        if before is not None and before[0] == command.holder:
            self.turns[command.name] = before
        return taken


@planted("a_turn_may_be_taken_and_given_back_again")
class RefusesTheSameAgain(ModelStore):
    """Says that another has the turn if it was given back already."""

    def give_turn(self, command: f.GiveTurn) -> Outcome:
        if command.name not in self.turns:
            return Outcome.CONFLICT
        return super().give_turn(command)
