"""What a limit does to the other sessions of an owner, and which answers to an opening or a login under one are right.

A limit is about all sessions of an owner in a scope, which are judged one key at a time: here only that each of those
that went may have gone. That there were too many, or that one went for nothing, is seen in `objections`.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import EXPIRED_REASON, LIMIT_REASON, Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.testing.history.sessions.lives import Life, finished
from sessionguard.testing.history.sessions.singles import is_first_answer
from sessionguard.testing.history.sessions.slots import Book, SlotState, done_before, holder_of, with_life

MAKES_ROOM: Final = "makes_room"
"""Names what such a command does to the key of others; its result is `Ended` with those of that key."""

_Step = Callable[[Book, SlotState, Any, Any, int, int], Iterator[SlotState]]


def under_limit(step: _Step) -> _Step:
    """Give what a command does to its own key, whether it carries a limit or not."""

    def judged(book: Book, state: SlotState, command: Any, reply: Any, lo: int, hi: int) -> Iterator[SlotState]:
        if command.at_most is None:
            yield from step(book, state, command, reply, lo, hi)
        elif _is_refused(reply):
            yield from _refused(book, state, command, hi)
        else:
            yield from _judged(step, book, state, command, reply, lo, hi)

    return judged


def _is_refused(reply: Any) -> bool:
    refused = isinstance(reply, c.Opened) and reply.is_refused
    return refused or (isinstance(reply, c.Changed) and reply.outcome is Outcome.FULL)


def _refused(book: Book, state: SlotState, command: Any, hi: int) -> Iterator[SlotState]:
    """Only what would open is refused, and then nothing changes."""
    holder = holder_of(state) if isinstance(command, c.GetOrCreate) else None
    if holder is None or book.may_be_over(holder, hi):
        yield state


def _judged(
    step: _Step, book: Book, state: SlotState, command: Any, reply: Any, lo: int, hi: int
) -> Iterator[SlotState]:
    if reply is None:
        yield from step(book, state, command, None, lo, hi)
        return
    if isinstance(reply, c.Changed):
        # Those of its own key do not become the owner's: they are so already, and never in its way.
        yield from step(book, state, command, evolve(reply, ended=()), lo, hi)
        return
    holder = holder_of(state)
    beside = tuple(r for r in reply.ended if r.reason == LIMIT_REASON or holder is None or r.id != holder.id)
    known = done_before(state, command.operation_id)
    if not beside or known is not None:
        yield from step(book, state, command, reply, lo, hi)
        return
    rest = tuple(record for record in reply.ended if record not in beside)
    for before in makes_room(book, state, command, c.Ended(beside), lo, hi):
        yield from step(book, before, command, evolve(reply, ended=rest), lo, hi)


def makes_room(
    book: Book, state: SlotState, command: Any, reply: c.Ended | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Those who go were active, or had expired; of an answer that was lost nobody knows who went."""
    done = done_before(state, command.operation_id)
    if done is not None:
        if reply is None or is_first_answer(book, state, done, reply.records, hi):
            yield state
        return
    if reply is None:
        yield state
        for life in state.open:
            yield from (
                book.marked(with_life(state, gone), command.operation_id, frozenset((life.id,)), lo)
                for gone in _gone(book, life, None, lo, hi)
            )
        return
    after = state
    told = {record.id: record for record in reply.records}
    for life in state.open:
        record = told.pop(life.id, None)
        if record is not None:
            gone = next(_gone(book, life, record, lo, hi), None)
            if gone is None:
                return
            after = with_life(after, gone)
    if not told:
        yield book.marked(after, command.operation_id, frozenset(record.id for record in reply.records), lo)


def _gone(book: Book, life: Life, record: SessionRecord | None, lo: int, hi: int) -> Iterator[Life]:
    new, deadline = book.born[life.id], book.expires(life)
    ways = []
    if hi >= deadline[0]:
        ways.append(finished(life, new, EXPIRED_REASON, deadline))
    if lo < deadline[1]:
        ways.append(finished(life, new, LIMIT_REASON, (lo, min(hi, deadline[1] - 1))))
    for way in ways:
        told = way if record is None else book.told(way, record)
        if told is not None:
            yield told
