"""What taking, renewing and releasing a lock of a session does, and which answers to it are right."""

from collections.abc import Iterator

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.history.sessions.lives import is_taken
from sessionguard.testing.history.sessions.slots import Book, LockState, SlotState, find

_Command = c.AcquireLock | c.RenewLock | c.ReleaseLock


def acquire_lock(
    book: Book, state: SlotState, command: c.AcquireLock, reply: c.LockReply | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """A lock that is free or lapsed is taken with a higher fence than all before."""
    life = find(state, command.session_id)
    is_over_for_caller = is_taken(life, command.meant)
    if reply is not None and reply.outcome is Outcome.ENDED:
        if life is None or is_over_for_caller or book.may_be_over(life, hi):
            yield state
        return
    if life is None or is_over_for_caller or not book.may_be_active(life, lo):
        return
    lock = _lock(state, command)
    until = (lo + command.lease_us, hi + command.lease_us)
    held = lock.holder == command.holder and lo < lock.until[1]
    free = lock.holder is None or lock.holder == command.holder or hi >= lock.until[0]
    if reply is None:
        if held:
            yield _with_lock(state, lock._replace(until=until))
        elif free:
            # Which number it took is not known; the next one that is told shows it.
            yield _with_lock(state, lock._replace(fence=lock.fence + 1, holder=command.holder, until=until))
    elif reply.outcome is Outcome.CONFLICT:
        if lock.holder not in (None, command.holder) and lo < lock.until[1]:
            yield state
    elif reply.outcome is Outcome.DONE and free:
        same = held and reply.fence == lock.fence
        if same or (reply.fence > lock.fence and not (held and hi < lock.until[0])):
            yield _with_lock(state, lock._replace(fence=reply.fence, holder=command.holder, until=until))


def renew_lock(
    book: Book, state: SlotState, command: c.RenewLock, reply: c.LockReply | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Who still holds the lock keeps it."""
    lock = _lock(state, command)
    mine = lock.holder == command.holder
    if reply is not None and reply.outcome is not Outcome.DONE:
        if not mine or hi >= lock.until[0] or _may_be_gone(state, command):
            yield state
    elif mine and lo < lock.until[1] and (reply is None or reply.fence == lock.fence):
        yield _with_lock(state, lock._replace(until=(lo + command.lease_us, hi + command.lease_us)))


def release_lock(
    book: Book, state: SlotState, command: c.ReleaseLock, reply: c.LockReply | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Who was the last to hold the lock gives it back; asked again, the answer is the same."""
    lock = _lock(state, command)
    before = dict(lock.released).get(command.holder)
    if reply is not None and reply.outcome is Outcome.CONFLICT and _may_be_gone(state, command):
        yield state
        return
    if lock.holder == command.holder:
        if reply is None or (reply.outcome is Outcome.DONE and reply.fence == lock.fence):
            released = (*(each for each in lock.released if each[0] != command.holder), (command.holder, lock.fence))
            yield _with_lock(state, lock._replace(holder=None, released=released))
    elif (
        reply is not None and (reply.outcome is Outcome.DONE) == (before is not None) and before in (None, reply.fence)
    ):
        yield state


def _lock(state: SlotState, command: _Command) -> LockState:
    for lock in state.locks:
        if (lock.session_id, lock.name) == (command.session_id, command.name):
            return lock
    return LockState(command.session_id, command.name, 0, None, (0, 0))


def _may_be_gone(state: SlotState, command: _Command) -> bool:
    """Tell whether the session may have been forgotten, and its locks with it."""
    life = find(state, command.session_id)
    return life is not None and life.may_be_gone


def _with_lock(state: SlotState, lock: LockState) -> SlotState:
    others = tuple(o for o in state.locks if (o.session_id, o.name) != (lock.session_id, lock.name))
    return state._replace(locks=tuple(sorted((*others, lock), key=lambda each: each[:2])))
