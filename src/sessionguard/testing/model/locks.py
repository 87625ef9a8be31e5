"""The verbs of the model that are about locks."""

from typing import Any

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.model.keeping import Holding, ModelBase, now


class ModelLocks(ModelBase):
    """Taking, renewing and releasing locks."""

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        with self.step():
            entry = self.usable(command.session_id, now(command))
            if entry is None or self.is_taken(entry.record, command):
                return c.LockReply(Outcome.ENDED, 0)
            holding = self.holdings.setdefault((command.session_id, command.name), Holding())
            if not self.is_free_for(holding, command):
                return c.LockReply(Outcome.CONFLICT, holding.fence)
            if not self.holds(holding, command):
                holding.fence += 1
            holding.holder, holding.until_us = command.holder, now(command) + command.lease_us
            return c.LockReply(Outcome.DONE, holding.fence)

    def is_free_for(self, holding: Holding, command: c.AcquireLock) -> bool:
        """Tell whether this holder may take the lock."""
        lapsed = now(command) >= holding.until_us
        return holding.holder is None or lapsed or holding.holder == command.holder

    def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        with self.step():
            holding = self.holdings.get((command.session_id, command.name), Holding())
            if not self.holds(holding, command):
                return c.LockReply(Outcome.CONFLICT, holding.fence)
            holding.until_us = now(command) + command.lease_us
            return c.LockReply(Outcome.DONE, holding.fence)

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        with self.step():
            holding = self.holdings.get((command.session_id, command.name), Holding())
            if not self.may_release(holding, command):
                if command.holder in holding.released:
                    return c.LockReply(Outcome.DONE, holding.released[command.holder])
                return c.LockReply(Outcome.CONFLICT, holding.fence)
            holding.holder = None
            holding.released[command.holder] = holding.fence
            return c.LockReply(Outcome.DONE, holding.fence)

    def holds(self, holding: Holding, command: Any) -> bool:
        """Tell whether the lock is this holder's at this instant."""
        return holding.holder == command.holder and now(command) < holding.until_us

    def may_release(self, holding: Holding, command: c.ReleaseLock) -> bool:
        """Tell whether the lock was last this holder's, lapsed or not."""
        return holding.holder == command.holder
