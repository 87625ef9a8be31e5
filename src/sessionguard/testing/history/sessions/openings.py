"""What opening a session does, and which answers to it are right."""

from collections.abc import Iterator
from typing import cast

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import EXPIRED_REASON, REPLACED_REASON
from sessionguard.core.records import SessionRecord
from sessionguard.testing.history.sessions.lives import FOREVER, Life, Span, finished, newborn
from sessionguard.testing.history.sessions.singles import seen_anew, touched_when_due
from sessionguard.testing.history.sessions.slots import Book, SlotState, find, holder_of, with_life


def create(
    book: Book, state: SlotState, command: c.Create, reply: c.Opened | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """A session is opened that no slot knows."""
    known = find(state, command.new.id)
    if known is not None:
        yield from _again(book, state, known, reply, lo, hi)
    elif reply is None:
        yield with_life(state, newborn(command.new, (lo, hi), (1, 1), exclusive=False))
    elif not reply.ended and not reply.touched:
        life = newborn(command.new, _instant_of(reply.record, lo, hi), (1, 1), exclusive=False)
        yield from _opened(book, state, life, reply)


def get_or_create(
    book: Book, state: SlotState, command: c.GetOrCreate, reply: c.Opened | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """The active session of the slot is given, touched when due; only if there is none is one opened."""
    known, holder = find(state, command.new.id), holder_of(state)
    if reply is None:
        if holder is not None:
            yield from (with_life(state, touched) for touched in touched_when_due(book, holder, lo, hi))
        if known is None:
            yield from _opened_unseen(book, state, command, holder, lo, hi)
    elif reply.record.id == command.new.id:
        if known is not None:
            yield from _again(book, state, known, reply, lo, hi)
        elif not reply.touched:
            yield from _opened_in_slot(book, state, command, reply, lo, hi)
    elif holder is not None and holder.id == reply.record.id and not reply.ended:
        hi = min(hi, book.expires(holder)[1] - 1)
        seen = seen_anew(book, holder, reply.record, reply.touched, lo, hi) if lo <= hi else None
        if seen is not None:
            yield with_life(state, seen)


def replace(
    book: Book, state: SlotState, command: c.Replace, reply: c.Opened | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """A new session takes the slot, and the one that held it ends in the same step."""
    known = find(state, command.new.id)
    if known is not None:
        yield from _again(book, state, known, reply, lo, hi)
    elif reply is None:
        yield from _opened_unseen(book, state, command, holder_of(state), lo, hi)
    elif not reply.touched:
        yield from _opened_in_slot(book, state, command, reply, lo, hi)


def _instant_of(record: SessionRecord, lo: int, hi: int) -> Span:
    """Give the instant of opening, if it lies within the call; else what no record agrees with."""
    return (record.created_us, record.created_us) if lo <= record.created_us <= hi else (FOREVER, FOREVER)


def _opened_in_slot(
    book: Book, state: SlotState, command: c.GetOrCreate | c.Replace, reply: c.Opened, lo: int, hi: int
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
            yield from _opened(book, with_life(state, told), life, reply)


def _opened(book: Book, state: SlotState, life: Life, reply: c.Opened) -> Iterator[SlotState]:
    told = book.told(life, reply.record)
    if told is not None:
        yield with_life(state, told)


def _opened_unseen(
    book: Book, state: SlotState, command: c.Create | c.GetOrCreate | c.Replace, holder: Life | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """The states after an opening whose answer was lost."""
    generation = (_last_generation(state) + 1, FOREVER)
    if holder is None:
        yield with_life(state, newborn(command.new, (lo, hi), generation, exclusive=True))
        return
    for former in _given_way(book, holder, cast("c.GetOrCreate | c.Replace", command), (lo, hi)):
        begin = max(lo, book.expires(holder)[0]) if former.reason == EXPIRED_REASON else lo
        life = newborn(command.new, (begin, hi), generation, exclusive=True)
        yield with_life(with_life(state, former), life)


def _given_way(book: Book, holder: Life, command: c.GetOrCreate | c.Replace, instant: Span) -> Iterator[Life]:
    """Give how the session that held the slot may have ended at `instant`."""
    new, deadline = book.born[holder.id], book.expires(holder)
    if instant[1] >= deadline[0]:
        yield finished(holder, new, EXPIRED_REASON, deadline)
    if isinstance(command, c.Replace) and instant[0] < deadline[1]:
        yield finished(holder, new, REPLACED_REASON, (instant[0], min(instant[1], deadline[1] - 1)))


def _again(book: Book, state: SlotState, known: Life, reply: c.Opened | None, lo: int, hi: int) -> Iterator[SlotState]:
    """The command comes again: the answer is its session as that is now, with the former ones that it ended."""
    if reply is None:
        return
    told = book.read(known, reply.record, lo, hi) or book.told(known, reply.record)
    if told is None:
        return
    for record in reply.ended:
        former = find(state, record.id)
        if former is None or former.reason is None or book.told(former, record) is None:
            return
    yield with_life(state, told)


def _last_generation(state: SlotState) -> int:
    return max((life.generation[0] for life in (*state.open, *state.past)), default=0)
