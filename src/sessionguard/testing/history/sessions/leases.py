"""What holding a session and letting go of it does, and which answers to it are right."""

from collections.abc import Iterator

from sessionguard.core import leases as le
from sessionguard.core.lifecycle import EXPIRED_REASON, Outcome
from sessionguard.core.visitors import LOGIN_REASON
from sessionguard.testing.history.sessions.lives import Life, is_taken
from sessionguard.testing.history.sessions.slots import Book, LeaseState, SlotState, find, floor_of, with_life


def hold_lease(
    book: Book, state: SlotState, command: le.HoldLease, reply: le.LeaseReply | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Who holds an active session keeps it; when it is over only who holds it already does."""
    life, mine = find(state, command.session_id), _lease(state, command)
    taken = is_taken(life, command.meant)
    if reply is None:
        may_begin = life is not None and not taken and book.may_be_active(life, lo)
        if life is not None and not mine.is_released and (may_begin or _may_live(mine, lo)):
            fence = mine.fence if _may_live(mine, lo) else _highest(state, life.id) + 1
            yield _held(book, state, life, command, mine._replace(fence=fence), lo, hi)
    elif reply.outcome is Outcome.CONFLICT:
        if mine.is_released and _may_say(book, life, reply.reason, lo, hi, taken):
            yield state
    elif reply.outcome is Outcome.ENDED:
        is_over = life is None or life.may_be_gone or taken or book.may_be_over(life, hi)
        if is_over and not _must_live(mine, hi) and _may_say(book, life, reply.reason, lo, hi, taken):
            yield state
    elif life is not None and not mine.is_released and _is_right(book, state, life, mine, reply, lo, hi, taken):
        instant = reply.until_us - command.lease_us
        if lo <= instant <= hi:
            after = _held(book, state, life, command, mine._replace(fence=reply.fence), instant, instant)
            if reply.floor == floor_of(after, life.id) or lo != hi:
                yield after


def _is_right(
    book: Book, state: SlotState, life: Life, mine: LeaseState, reply: le.LeaseReply, lo: int, hi: int, taken: bool
) -> bool:
    kept = _may_live(mine, lo) and reply.fence == mine.fence
    begun = book.may_be_active(life, lo) and reply.fence > _highest(state, life.id) and not _must_live(mine, hi)
    return (kept or (begun and reply.reason is None)) and _may_say(book, life, reply.reason, lo, hi, taken)


def _may_say(book: Book, life: Life | None, reason: str | None, lo: int, hi: int, taken: bool = False) -> bool:
    """Tell whether the session may be over for this reason, or not over or not known if there is none.

    One that was `taken` since the caller knew it is over for him by its login, unless it is for everyone.
    """
    if life is None or reason is None:
        may_be_active = life is not None and not taken and book.may_be_active(life, lo)
        return reason is None and (life is None or life.may_be_gone or may_be_active)
    if taken and reason == LOGIN_REASON and book.may_be_active(life, lo):
        return True
    return reason == (life.reason or EXPIRED_REASON) and book.may_be_over(life, hi)


def release_lease(
    book: Book, state: SlotState, command: le.ReleaseLease, reply: le.LeaseReply | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Who holds a session lets go of it once; asked again, the answer is the same."""
    life, mine = find(state, command.session_id), _lease(state, command)
    if reply is None:
        if _may_live(mine, lo):
            yield _with(state, mine._replace(until=None, is_released=True), lo)
    elif reply.outcome is Outcome.CONFLICT:
        is_gone = life is None or life.may_be_gone
        if (
            not mine.is_released
            and (is_gone or not _must_live(mine, hi))
            and _may_say(book, life, reply.reason, lo, hi)
        ):
            yield _with(state, mine._replace(until=None), lo)
    elif (mine.is_released or _may_live(mine, lo)) and _may_say(book, life, reply.reason, lo, hi):
        after = _with(state, mine._replace(until=None, is_released=True), lo)
        if _is_last_lapse(after, command.session_id, reply.until_us, lo, hi):
            yield after


def leased_until(
    book: Book, state: SlotState, command: le.FindLease, reply: int | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """A session is held as long as one of its leases has not lapsed, unless it was forgotten, and they with it."""
    life = find(state, command.session_id)
    is_gone = reply is None and life is not None and life.may_be_gone
    if is_gone or _is_last_lapse(state, command.session_id, reply or 0, lo, hi):
        yield state


def _is_last_lapse(state: SlotState, session_id: str, until_us: int, lo: int, hi: int) -> bool:
    spans = [lease.until for lease in state.leases if lease.session_id == session_id and lease.until is not None]
    if until_us == 0:
        return all(hi >= span[0] for span in spans)
    return any(span[0] <= until_us <= span[1] for span in spans) and all(until_us >= span[0] for span in spans)


def _held(
    book: Book, state: SlotState, life: Life, command: le.HoldLease, mine: LeaseState, lo: int, hi: int
) -> SlotState:
    state = _with(state, mine._replace(until=(lo + command.lease_us, hi + command.lease_us)), lo)
    if is_taken(life, command.meant) or not book.may_be_active(life, lo):
        return state
    hi = min(hi, book.expires(life)[1] - 1)
    return with_life(state, life._replace(seen=(max(life.seen[0], lo), max(life.seen[1], hi))))


def _lease(state: SlotState, command: le.HoldLease | le.ReleaseLease) -> LeaseState:
    for lease in state.leases:
        if (lease.session_id, lease.holder) == (command.session_id, command.holder):
            return lease
    return LeaseState(command.session_id, command.holder, 0, None)


def _highest(state: SlotState, session_id: str) -> int:
    return max((lease.fence for lease in state.leases if lease.session_id == session_id), default=0)


def _may_live(lease: LeaseState, lo: int) -> bool:
    return lease.until is not None and lo < lease.until[1]


def _must_live(lease: LeaseState, hi: int) -> bool:
    return lease.until is not None and hi < lease.until[0]


def _with(state: SlotState, lease: LeaseState, lo: int) -> SlotState:
    """Give the state with this lease, and without what had lapsed by then: whoever comes drops it."""
    others = [one for one in state.leases if (one.session_id, one.holder) != (lease.session_id, lease.holder)]
    kept = [
        one._replace(until=None)
        if one.session_id == lease.session_id and one.until is not None and one.until[1] <= lo
        else one
        for one in others
    ]
    return state._replace(leases=tuple(sorted((*kept, lease), key=lambda one: one[:2])))
