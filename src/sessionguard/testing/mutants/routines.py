"""Planted bugs in the optional abilities: lists and locks."""

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Holding
from sessionguard.testing.mutants.planting import Gap, planted


@planted("a_list_under_change_shows_who_stayed_exactly_once")
class PagesByOffset(ModelStore):
    """Goes on by counting how many were listed, so what is opened or ended between two pages shifts the rest."""

    def page(self, command: c.Page) -> c.PageOfRecords:
        begin = int(command.cursor or 0)
        whole = super().page(evolve(command, cursor=None, limit=1_000_000)).records
        end = begin + command.limit
        return c.PageOfRecords(whole[begin:end], str(end) if end < len(whole) else None)


@planted("sessions_of_one_instant_are_each_listed_once")
class PagesByInstantAlone(ModelStore):
    """Goes on after the instant of the last record, so others of the same instant are never listed."""

    def page(self, command: c.Page) -> c.PageOfRecords:
        cursor = None if command.cursor is None else f"{command.cursor.partition(' ')[0]} {'z' * 34}"
        return super().page(evolve(command, cursor=cursor))


@planted("active_means_what_load_would_accept")
class ListsTheExpiredAsActive(ModelStore):
    """Lists as active what has expired until somebody sweeps it."""

    def page(self, command: c.Page) -> c.PageOfRecords:
        earliest = min((e.record.created_us for e in self.entries.values()), default=0)
        instant = command.at if command.at is None else command.at.fromtimestamp(earliest / 1e6, command.at.tzinfo)
        return super().page(evolve(command, at=instant))


@planted("one_holder_of_a_lock")
class TakesInTwoSteps(Gap):
    """Looks whether the lock is free and takes it in a second step."""

    def is_free_for(self, holding: Holding, command: c.AcquireLock) -> bool:
        free = super().is_free_for(holding, command)
        if free:
            self.gap()
        return free


@planted("a_held_lock_is_refused_to_others", "a_lapsed_lock_is_taken_over", "one_holder_of_a_lock")
class LocksNobodyOut(ModelStore):
    """Gives the lock to whoever asks last."""

    def is_free_for(self, holding: Holding, command: c.AcquireLock) -> bool:
        return True


@planted("fences_grow_with_every_taking")
class FenceRestarts(ModelStore):
    """Counts fences from 1 again after a release, so a late holder's writes look newer than they are."""

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        reply = super().release_lock(command)
        self.holdings.pop((command.session_id, command.name), None)
        return reply


@planted("only_the_holder_releases", "a_lapsed_lock_is_taken_over")
class AnyoneReleases(ModelStore):
    """Gives a lock back for whoever asks."""

    def may_release(self, holding: Holding, command: c.ReleaseLock) -> bool:
        return holding.holder is not None


@planted("a_dead_session_gives_no_locks")
class LocksOfTheDead(ModelStore):
    """Gives out locks of ended and unknown sessions."""

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        reply = super().acquire_lock(command)
        return c.LockReply(Outcome.DONE, 1) if reply.outcome is Outcome.ENDED else reply


@planted("repeated_release_answers_the_same", "repeated_release_is_known_after_many_others")
class ForgetsReleases(ModelStore):
    """Tells a holder whose first reply was lost that the lock was another's, though nothing went wrong."""

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        reply = super().release_lock(command)
        holding = self.holdings.get((command.session_id, command.name))
        if holding is not None:
            holding.released.clear()
        return reply


@planted("repeated_release_is_known_after_many_others")
class RemembersTheLastRelease(ModelStore):
    """Remembers one release a lock."""

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        reply = super().release_lock(command)
        holding = self.holdings.get((command.session_id, command.name))
        if holding is not None:
            holding.released = dict(list(holding.released.items())[-1:])
        return reply


@planted("repeated_release_answers_the_same")
class ReleasesOnceMore(ModelStore):
    """A release that comes again frees the lock of whoever has taken it since."""

    def may_release(self, holding: Holding, command: c.ReleaseLock) -> bool:
        return super().may_release(holding, command) or command.holder in holding.released


@planted("repeated_release_answers_the_same")
class AnswersWithTheFenceOfNow(ModelStore):
    """A release that comes again is answered with the fence of the present holder, so it looks like a lost lock."""

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        reply = super().release_lock(command)
        holding = self.holdings.get((command.session_id, command.name))
        return reply if holding is None else evolve(reply, fence=holding.fence)


@planted("who_lost_a_lock_never_releases_it", "only_the_holder_releases", "a_lapsed_lock_is_taken_over")
class EveryReleaseIsDone(ModelStore):
    """Says that every release is done, so a holder never learns that the lock was taken from it."""

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return evolve(super().release_lock(command), outcome=Outcome.DONE)
