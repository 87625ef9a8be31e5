"""What commands about many sessions do to the sessions of one key, and which answers to them are right."""

from collections.abc import Iterator

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import EXPIRED_REASON
from sessionguard.core.records import REMEMBERED_US, SessionRecord
from sessionguard.testing.history.sessions.lives import Life, finished
from sessionguard.testing.history.sessions.singles import is_first_answer
from sessionguard.testing.history.sessions.slots import Book, SlotState, done_before, with_life


def end_owner(
    book: Book, state: SlotState, command: c.EndOwner, reply: c.Ended | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Every active session of the owner ends, but the one to keep, and no other."""
    done = done_before(state, command.operation_id)
    if done is not None:
        if reply is not None and is_first_answer(book, state, done, reply.records, hi):
            yield state
        if not done.may_be_forgotten:
            return
    after: SlotState = state
    told = {} if reply is None else {record.id: record for record in reply.records}
    for life in state.open:
        meant = life.owner == command.owner and life.id != command.keep_id
        meant = meant and command.scope in (None, book.born[life.id].scope)
        record = told.pop(life.id, None)
        if record is not None or (reply is None and meant and book.may_be_active(life, lo)):
            ended = _ended(book, life, command.reason, record, lo, hi) if meant else None
            if ended is None:
                return
            after = with_life(after, ended)
        elif reply is not None and meant and not book.may_be_over(life, hi):
            return
    if not told:
        closed = frozenset(life.id for life in state.open) - {life.id for life in after.open}
        yield book.marked(after, command.operation_id, closed, lo)


def _ended(book: Book, life: Life, reason: str, record: SessionRecord | None, lo: int, hi: int) -> Life | None:
    hi = min(hi, book.expires(life)[1] - 1)
    if lo > hi:
        return None
    ended = finished(life, book.born[life.id], reason, (lo, hi))
    return ended if record is None else book.told(ended, record)


def sweep(
    book: Book, state: SlotState, command: c.Sweep, reply: c.Ended | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """What was swept had expired at that instant, and nobody had ended it before."""
    done = done_before(state, command.operation_id)
    if done is not None:
        if reply is not None and is_first_answer(book, state, done, reply.records, hi):
            yield state
        if not done.may_be_forgotten:
            return
    after = state
    told = None if reply is None else {record.id: record for record in reply.records}
    for life in state.open:
        record = None if told is None else told.pop(life.id, None)
        if (told is None or record is not None) and hi >= book.expires(life)[0]:
            swept: Life | None = finished(life, book.born[life.id], EXPIRED_REASON, book.expires(life))
            if record is not None and swept is not None:
                swept = book.told(swept, record) if hi >= record.expires_us else None
            if swept is None:
                return
            after = with_life(after, swept)
        elif record is not None:
            return
    if not told:
        closed = frozenset(life.id for life in state.open) - {life.id for life in after.open}
        yield book.marked(after, command.operation_id, closed, lo)


def purge(
    book: Book, state: SlotState, command: c.Purge, reply: c.Purged | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Any ended session whose time as history is over may be forgotten; how many are is told, not which."""

    def judged(life: Life) -> Life:
        lifetime = book.born[life.id].lifetime
        kept_us = lifetime.retention_us if command.older_than_us is None else command.older_than_us
        return life._replace(may_be_gone=True) if life.ended is not None and life.ended[0] + kept_us <= hi else life

    done = tuple(d._replace(may_be_forgotten=True) if d.at_us + REMEMBERED_US <= hi else d for d in state.done)
    yield state._replace(past=tuple(judged(life) for life in state.past), done=done)


def page(
    book: Book, state: SlotState, command: c.Page, reply: c.PageOfRecords, lo: int, hi: int
) -> Iterator[SlotState]:
    """What is listed is so; what is active is listed, if the page is all there is."""
    is_whole = command.cursor is None and reply.cursor is None
    after = state
    listed = {record.id: record for record in reply.records}
    for life in (*state.open, *state.past):
        record = listed.pop(life.id, None)
        if record is not None:
            seen = book.read(life, record, lo, hi)
            if seen is None or not _is_listed_as(command.status, record):
                return
            after = with_life(after, seen._replace(may_be_gone=False))
        elif is_whole and _is_wanted(book, life, command) and not _may_be_left_out(book, life, command, lo, hi):
            return
    if not listed:
        yield after


def _is_listed_as(status: c.Status | None, record: SessionRecord) -> bool:
    return status is None or (status == "active") == (record.reason is None)


def _is_wanted(book: Book, life: Life, command: c.Page) -> bool:
    return command.owner in (None, life.owner) and command.scope in (None, book.born[life.id].scope)


def _may_be_left_out(book: Book, life: Life, command: c.Page, lo: int, hi: int) -> bool:
    if life.reason is not None:
        return True  # It may have been forgotten; `get` is the judge of that.
    if command.status == "active":
        return book.may_be_over(life, hi)
    return command.status == "ended" and book.may_be_active(life, lo)
