"""Steps that hold something over other steps: a workspace, so that nothing may remove it, or a lock."""

from datetime import timedelta
from typing import Any, ClassVar

from attrs import evolve, frozen

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.session import Session, record_of
from sessionguard.errors import LockLostError, LockTimeoutError
from sessionguard.testing.machines.hand import Hand, Loan, Told
from sessionguard.testing.machines.steps.files import judge_content
from sessionguard.testing.machines.steps.step import Replies, SessionStep, Step, refused, usable_or_refused
from sessionguard.testing.machines.world import LEASE_US, Entry, World, is_active, require, seen


@frozen(kw_only=True)
class Borrows(SessionStep):
    """Borrows the workspace of a session."""

    def ask(self, hand: Hand, about: Any) -> Any:
        block = hand.guard(self.via).workspace(about)
        workspace = block.__enter__()
        return hand.lend(hand.leases, Loan(block, about.id, self.via, workspace))

    def judge(self, world: World, told: Told) -> World:
        entry = usable_or_refused(world, told, told.about.id, record_of(told.about))
        if entry is None:
            return world
        require(told.error is None, f"borrowing must not fail: {told.error}")
        leases = entry.leases + (not told.is_lost)
        return world.with_entry(evolve(entry, record=seen(entry, told.at_us), leases=leases))

    def lost(self, told: Told, replies: Replies) -> Told | None:
        # The lease was given back as the interruption came by; what is left is that the session was seen.
        touched = any(isinstance(reply, c.Changed) and reply.outcome is Outcome.DONE for _, reply in replies)
        return told if touched else None


@frozen(kw_only=True)
class ReadsBorrowed(Step):
    """Reads a file in a workspace that is held, whatever has become of the session meanwhile."""

    loan: int
    file: str
    reads_only: ClassVar[bool] = True

    def about(self, hand: Hand) -> Loan:
        return hand.leases[self.loan]

    def ask(self, hand: Hand, about: Any) -> Any:
        return about.held.read(self.file)

    def judge(self, world: World, told: Told) -> World:
        entry = world.find(told.about.session_id)
        if entry is not None:
            judge_content(entry, self.file, told)
        return world


@frozen(kw_only=True)
class GivesBack(Step):
    """Gives a workspace back; if its session has ended meanwhile, its files go with the last lease."""

    loan: int

    def about(self, hand: Hand) -> Loan:
        return hand.leases.pop(self.loan)

    def ask(self, hand: Hand, about: Any) -> Any:
        about.block.__exit__(None, None, None)

    def judge(self, world: World, told: Told) -> World:
        require(told.error is None, f"giving back must not fail: {told.error}")
        entry = world.find(told.about.session_id)
        return world if entry is None else world.with_entry(returned(entry))


def returned(entry: Entry) -> Entry:
    """Give the session with one lease less; without a lease, what has ended has no files."""
    leases = entry.leases - 1
    gone = leases == 0 and entry.record.reason is not None
    return evolve(entry, leases=leases, files=() if gone else entry.files)


@frozen(kw_only=True)
class Locks(SessionStep):
    """Takes a lock of a session, without waiting."""

    lock: str = "door"

    def about(self, hand: Hand) -> Any:
        session: Session = super().about(hand)
        # A guard queues its own callers before it asks the store.
        queued = any(
            (loan.session_id, loan.name, loan.via) == (session.id, self.lock, self.via) for loan in hand.locks.values()
        )
        return session, queued

    def ask(self, hand: Hand, about: Any) -> Any:
        session, _ = about
        block = hand.guard(self.via).lock(session, self.lock, timeout=timedelta(0))
        held = block.__enter__()
        return hand.lend(hand.locks, Loan(block, session.id, self.via, held, self.lock)), held.fence

    def judge(self, world: World, told: Told) -> World:
        session, queued = told.about
        if queued:
            refused(told, LockTimeoutError, session_id=session.id)
            return world
        entry = usable_or_refused(world, told, session.id, record_of(session))
        if entry is None:
            return world
        lock = world.lock(session.id, self.lock)
        if lock.holder is not None and told.at_us < lock.until_us:
            refused(told, LockTimeoutError, session_id=session.id)
            return world
        require(told.error is None, f"the lock is free, but it was told {told.error}")
        number, fence = told.value
        require(fence > lock.fence, f"a fence must grow beyond {lock.fence}, but it is {fence}")
        holder = None if told.is_lost else number
        return world.with_lock(evolve(lock, fence=fence, holder=holder, until_us=told.at_us + LEASE_US))

    def lost(self, told: Told, replies: Replies) -> Told | None:
        # Who was interrupted as he took it has given it back on his way.
        fences = [
            reply.fence for _, reply in replies if isinstance(reply, c.LockReply) and reply.outcome is Outcome.DONE
        ]
        return evolve(told, value=(0, fences[0])) if fences else None


@frozen(kw_only=True)
class Unlocks(Step):
    """Gives a lock back; tells if another has had it meanwhile."""

    loan: int

    def about(self, hand: Hand) -> Any:
        return self.loan, hand.locks.pop(self.loan)

    def ask(self, hand: Hand, about: Any) -> Any:
        about[1].block.__exit__(None, None, None)

    def judge(self, world: World, told: Told) -> World:
        number, loan = told.about
        lock = world.lock(loan.session_id, loan.name)
        entry = world.find(loan.session_id)
        if entry is None or not is_active(entry.record, told.at_us):
            # With the session its locks may be gone.
            require(told.error is None or isinstance(told.error, LockLostError), f"unlocking was told {told.error}")
            return world.with_lock(evolve(lock, holder=None)) if lock.holder == number else world
        if lock.holder == number:
            require(told.error is None, f"nobody else has taken the lock, but it was told {told.error}")
            return world.with_lock(evolve(lock, holder=None))
        refused(told, LockLostError, session_id=loan.session_id)
        return world


@frozen(kw_only=True)
class Reopens(Step):
    """Closes a guard with all that is held by it, and opens it anew on the same place."""

    def about(self, hand: Hand) -> Any:
        leases = [loan.session_id for loan in hand.leases.values() if loan.via == self.via]
        locks = [(number, loan) for number, loan in hand.locks.items() if loan.via == self.via]
        return leases, locks

    def ask(self, hand: Hand, about: Any) -> Any:
        hand.reopen(self.via)

    def judge(self, world: World, told: Told) -> World:
        require(told.error is None, f"closing must not fail: {told.error}")
        leases, locks = told.about
        for session_id in leases:
            entry = world.find(session_id)
            world = world if entry is None else world.with_entry(returned(entry))
        for number, loan in locks:
            lock = world.lock(loan.session_id, loan.name)
            world = world.with_lock(evolve(lock, holder=None)) if lock.holder == number else world
        return world
