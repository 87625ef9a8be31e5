"""What opening a session does, and which answers to it are right."""

from collections.abc import Iterator

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import EXPIRED_REASON, REPLACED_REASON
from sessionguard.core.records import SessionRecord
from sessionguard.testing.history.sessions.lives import FOREVER, Life, Span, finished, newborn
from sessionguard.testing.history.sessions.singles import is_first_answer, seen_anew, touched_when_due
from sessionguard.testing.history.sessions.slots import (
    Book,
    Done,
    SlotState,
    done_before,
    find,
    holder_of,
    with_life,
    without,
)

_InSlot = c.GetOrCreate | c.Replace
_Opening = c.Create | _InSlot


def create(
    book: Book, state: SlotState, command: c.Create, reply: c.Opened | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """A session is opened that no slot knows."""
    for before, known in _remembered(state, command):
        if known is not None:
            yield from _again(book, before, known, command, reply, lo, hi)
        elif reply is None:
            yield with_life(before, newborn(command.new, (lo, hi), (1, 1), exclusive=False))
        elif not reply.ended and not reply.touched:
            life = newborn(command.new, _instant_of(reply.record, lo, hi), (1, 1), exclusive=False)
            yield from _opened(book, before, life, reply)


def get_or_create(
    book: Book, state: SlotState, command: c.GetOrCreate, reply: c.Opened | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """The active session of the slot is given, touched when due; only if there is none is one opened."""
    for before, known in _remembered(state, command):
        holder = holder_of(before)
        if reply is None:
            if holder is not None:
                yield from (with_life(before, touched) for touched in touched_when_due(book, holder, lo, hi))
            if known is None:
                yield from _opened_unseen(book, before, command, lo, hi)
        elif reply.record.id != command.new.id:
            yield from _found(book, before, holder, reply, lo, hi)
        elif known is not None:
            yield from _again(book, before, known, command, reply, lo, hi)
        elif not reply.touched:
            yield from _opened_in_slot(book, before, command, reply, lo, hi)


def replace(
    book: Book, state: SlotState, command: c.Replace, reply: c.Opened | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """A new session takes the slot, and the one that held it ends in the same step."""
    for before, known in _remembered(state, command):
        if known is not None:
            yield from _again(book, before, known, command, reply, lo, hi)
        elif reply is None:
            yield from _opened_unseen(book, before, command, lo, hi)
        elif not reply.touched:
            yield from _opened_in_slot(book, before, command, reply, lo, hi)


def _remembered(state: SlotState, command: _Opening) -> Iterator[tuple[SlotState, Life | None]]:
    """Give the session that this very command opened before; if it was forgotten since, the command is a new one."""
    known = find(state, command.new.id)
    yield state, known
    if known is not None and known.may_be_gone:
        yield without(state, known.id), None


def _found(book: Book, state: SlotState, holder: Life | None, reply: c.Opened, lo: int, hi: int) -> Iterator[SlotState]:
    if holder is None or holder.id != reply.record.id or reply.ended:
        return
    hi = min(hi, book.expires(holder)[1] - 1)
    seen = seen_anew(book, holder, reply.record, reply.touched, lo, hi) if lo <= hi else None
    if seen is not None:
        yield with_life(state, seen)


def _instant_of(record: SessionRecord, lo: int, hi: int) -> Span:
    """Give the instant of opening, if it lies within the call; else what no record agrees with."""
    return (record.created_us, record.created_us) if lo <= record.created_us <= hi else (FOREVER, FOREVER)


def _opened_in_slot(
    book: Book, state: SlotState, command: _InSlot, reply: c.Opened, lo: int, hi: int
) -> Iterator[SlotState]:
    instant = _instant_of(reply.record, lo, hi)
    life = newborn(command.new, instant, (_last_generation(state) + 1, FOREVER), exclusive=True)
    holder = holder_of(state)
    if holder is None:
        if not reply.ended:
            yield from _opened(book, state, life, reply)
        return
    if len(reply.ended) != 1:
        return
    for former in _given_way(book, holder, command, instant):
        told = book.told(former, reply.ended[0])
        if told is not None:
            after = _marked(book, with_life(state, told), command, told, lo)
            yield from _opened(book, after, life, reply)


def _opened(book: Book, state: SlotState, life: Life, reply: c.Opened) -> Iterator[SlotState]:
    told = book.told(life, reply.record)
    if told is not None:
        yield with_life(state, told)


def _opened_unseen(book: Book, state: SlotState, command: _InSlot, lo: int, hi: int) -> Iterator[SlotState]:
    """The states after an opening whose answer was lost."""
    holder = holder_of(state)
    generation = (_last_generation(state) + 1, FOREVER)
    if holder is None:
        yield with_life(state, newborn(command.new, (lo, hi), generation, exclusive=True))
        return
    for former in _given_way(book, holder, command, (lo, hi)):
        begin = max(lo, book.expires(holder)[0]) if former.reason == EXPIRED_REASON else lo
        life = newborn(command.new, (begin, hi), generation, exclusive=True)
        yield _marked(book, with_life(with_life(state, former), life), command, former, lo)


def _given_way(book: Book, holder: Life, command: _InSlot, instant: Span) -> Iterator[Life]:
    """Give how the session that held the slot may have ended at `instant`."""
    new, deadline = book.born[holder.id], book.expires(holder)
    if instant[1] >= deadline[0]:
        yield finished(holder, new, EXPIRED_REASON, deadline)
    if isinstance(command, c.Replace) and instant[0] < deadline[1]:
        yield finished(holder, new, REPLACED_REASON, (instant[0], min(instant[1], deadline[1] - 1)))


def _again(
    book: Book, state: SlotState, known: Life, command: _Opening, reply: c.Opened | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """The command comes again: the answer is its session as that is now, with the former ones that it ended."""
    if reply is None:
        return
    told = book.read(known, reply.record, lo, hi) or book.told(known, reply.record)
    done = done_before(state, command.operation_id) or Done(command.operation_id, frozenset(), lo)
    if told is not None and is_first_answer(book, state, done, reply.ended, hi):
        yield with_life(state, told)


def _marked(book: Book, state: SlotState, command: _InSlot, former: Life, lo: int) -> SlotState:
    before = done_before(state, command.operation_id)
    # Former sessions carry the name of the command that ended them, also one that it ended in an earlier life.
    ended = frozenset((former.id,)) if before is None else before.ended | {former.id}
    return book.marked(state, command.operation_id, ended, lo)


def _last_generation(state: SlotState) -> int:
    return max((life.generation[0] for life in (*state.open, *state.past)), default=0)
