"""Planted bugs in fencing off the saves of those who lost their lock."""

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry, Holding, now
from sessionguard.testing.mutants.planting import Gap, planted


@planted(
    "a_save_with_a_lower_fence_is_refused",
    "a_fence_is_that_of_one_lock_of_one_session",
    "a_fenced_save_is_judged_in_order",
    "stale_holders_save_nothing",
)
class IgnoresTheFence(ModelStore):
    """`save` does not look at the fence, so who was stopped past its lease overwrites what the next holder saved."""

    def is_fenced(self, command: c.Save) -> bool:
        return False


@planted("a_save_with_a_lower_fence_is_refused", "stale_holders_save_nothing")
class FencesOnlyWhileHeld(ModelStore):
    """Refuses a stale holder only as long as the next one holds the lock."""

    def is_fenced(self, command: c.Save) -> bool:
        holding = command.fence and self.holdings.get((command.session_id, command.fence.name))
        return bool(holding and holding.holder is not None) and super().is_fenced(command)


@planted("a_save_with_the_current_fence_is_done")
class FencesTheLapsed(ModelStore):
    """Refuses a holder whose lease is over, though nobody has taken the lock since."""

    def is_fenced(self, command: c.Save) -> bool:
        holding = command.fence and self.holdings.get((command.session_id, command.fence.name))
        return bool(holding and now(command) >= holding.until_us) or super().is_fenced(command)


@planted("a_fence_is_that_of_one_lock_of_one_session")
class FencesByAnyLock(ModelStore):
    """Compares a fence with the highest of all locks of the session."""

    def is_fenced(self, command: c.Save) -> bool:
        fences = [holding.fence for (name, _), holding in self.holdings.items() if name == command.session_id]
        return command.fence is not None and command.fence.number < max(fences, default=0)


@planted("a_fence_is_that_of_one_lock_of_one_session")
class FencesTheUnlocked(ModelStore):
    """Refuses a save under a lock that nobody has taken."""

    def is_fenced(self, command: c.Save) -> bool:
        known = command.fence is None or (command.session_id, command.fence.name) in self.holdings
        return not known or super().is_fenced(command)


@planted("repeated_fenced_save_is_done_though_the_lock_moved_on", "a_fenced_save_is_judged_in_order")
class ChecksTheFenceFirst(ModelStore):
    """Looks at the fence before it looks whether the save was done already, or whether the session has ended."""

    def save(self, command: c.Save) -> c.Changed:
        with self.step():
            entry = self.entries.get(command.session_id)
            if entry is not None and self.is_fenced(command):
                return c.Changed(Outcome.FENCED, entry.record)
        return super().save(command)


@planted("a_fenced_save_is_judged_in_order")
class ChecksTheVersionFirst(ModelStore):
    """Calls a stale holder's save a conflict, so that it is tried again instead of given up."""

    def is_fenced(self, command: c.Save) -> bool:
        version = self.entries[command.session_id].record.version
        return command.expected_version in (None, version) and super().is_fenced(command)


# Of tasks, some share a thread with the one in the gap.
@planted("stale_holders_save_nothing", modes=("threads",))
class ChecksTheFenceThenWrites(Gap):
    """Looks at the fence and writes in a second step, over what the next holder saved between."""

    gaps = 3

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        with self.step():
            holding = self.holdings.get((command.session_id, command.name))
            if self.gaps and holding is not None:
                # Nobody uses up its tries while the lock is held, and nobody takes it before a stale save is under way.
                self.lock.wait_for(lambda: holding.holder is None, timeout=self.patience)
                self.await_gap()
        return super().acquire_lock(command)

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        name = "" if command.fence is None else command.fence.name
        was_released = self.holdings.get((command.session_id, name), Holding()).holder is None
        if was_released and self.gaps:
            self.gaps -= 1
            version = entry.record.version
            self.gap(until=lambda: entry.record.version != version)
        return super().write(entry, command)
