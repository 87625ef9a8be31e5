"""What reading and changing one session does, and which answers to it are right."""

from collections.abc import Iterator

from sessionguard.core import commands as c
from sessionguard.core.leases import LEASE
from sessionguard.core.lifecycle import EXPIRED_REASON, Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.testing.history.sessions.lives import Fields, Life, finished, is_taken, size_of, value_of
from sessionguard.testing.history.sessions.slots import (
    Book,
    Done,
    SlotState,
    done_before,
    find,
    floor_of,
    with_life,
)


def get(
    book: Book, state: SlotState, command: c.Get, reply: SessionRecord | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """An id leads to its session, whatever became of it, until that is forgotten."""
    life = find(state, command.session_id)
    if reply is None:
        if life is None or life.may_be_gone or is_rubbish(book, life, hi):
            yield state
    elif life is not None:
        seen = book.read(life, reply, lo, hi)
        if seen is not None:
            yield with_life(state, seen._replace(may_be_gone=False))


def load(
    book: Book, state: SlotState, command: c.Load, reply: c.Loaded | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """A token leads to its session while that is active, and a former token in its grace; being seen extends it."""
    life = next((x for x in (*state.open, *state.past) if command.token_hash in (x.token, x.previous)), None)
    if reply is None:
        if life is not None and life.reason is None and command.extends:
            hi = min(hi, _admitted_until(book, life, command.token_hash) - 1)
            yield from (with_life(state, touched) for touched in touched_when_due(book, life, lo, hi))
    elif life is None:
        if reply.record is None and reply.refusal == "unknown":
            yield state
    elif reply.record is None:
        if _may_refuse(book, life, command, reply, lo, hi):
            yield state
    elif reply.touched and not command.extends:
        return
    elif command.scope in (None, book.born[life.id].scope) and lo < _admitted_until(book, life, command.token_hash):
        hi = min(hi, _admitted_until(book, life, command.token_hash) - 1)
        if command.extends:
            seen = seen_anew(book, life, reply.record, reply.touched, lo, hi)
        else:
            seen = book.told(life, reply.record)
        if seen is not None:
            yield with_life(state, seen)


def save(
    book: Book, state: SlotState, command: c.Save, reply: c.Changed | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Whole fields are replaced or removed in the state that is stored, if it is active and as expected."""
    life = find(state, command.session_id)
    if life is None or done_before(state, command.operation_id) is not None:
        yield from _known_or_unknown(book, state, life, reply, lo, hi)
        return
    if is_taken(life, command.meant):
        yield from _over_for_the_caller(book, state, life, reply, lo, hi)
        return
    if (reply is None or reply.outcome is not Outcome.ENDED) and book.may_be_active(life, lo):
        yield from _judged_save(book, state, life, command, reply, lo, hi)
    if reply is not None and reply.outcome is Outcome.ENDED:
        yield from _refused(book, state, life, reply, lo, hi)


def _judged_save(
    book: Book, state: SlotState, life: Life, command: c.Save, reply: c.Changed | None, lo: int, hi: int
) -> Iterator[SlotState]:
    after, outcome = _saved(state, life, command)
    if reply is None:
        if outcome is Outcome.DONE:
            yield book.marked(with_life(state, after), command.operation_id, frozenset(), lo)
        return
    if reply.outcome is not outcome or reply.record is None:
        return
    if outcome is Outcome.TOO_LARGE and reply.size_bytes <= command.limit_bytes:
        return
    told = book.read(after, reply.record, lo, hi)
    if told is not None and told.reason is None:
        state = with_life(state, told)
        is_done = outcome is Outcome.DONE and after.version != life.version
        yield book.marked(state, command.operation_id, frozenset(), lo) if is_done else state


def _saved(state: SlotState, life: Life, command: c.Save) -> tuple[Life, Outcome]:
    fence = command.fence
    if fence is not None and fence.number < _least_fence(state, life, fence.name):
        return life, Outcome.FENCED
    if command.expected_version not in (None, life.version):
        return life, Outcome.CONFLICT
    if not command.changes and not command.remove:
        return life, Outcome.DONE
    fields = _merged(life.fields, command)
    if size_of(fields) > command.limit_bytes:
        return life, Outcome.TOO_LARGE
    return life._replace(fields=fields, version=life.version + 1), Outcome.DONE


def _least_fence(state: SlotState, life: Life, name: str) -> int:
    if name == LEASE:
        return floor_of(state, life.id)
    found = (lock.fence for lock in state.locks if (lock.session_id, lock.name) == (life.id, name))
    return max(found, default=0)


def _merged(fields: Fields, command: c.Save) -> Fields:
    merged = dict(fields)
    merged.update((name, value_of(text)) for name, text in command.changes.items())
    for name in command.remove:
        merged.pop(name, None)
    return tuple(sorted(merged.items()))


def touch(
    book: Book, state: SlotState, command: c.Touch, reply: c.Changed | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """An active session lives from this instant on; a clock that went back shortens nothing."""
    life = find(state, command.session_id)
    if life is None:
        yield from _known_or_unknown(book, state, life, reply, lo, hi)
    elif is_taken(life, command.meant):
        yield from _over_for_the_caller(book, state, life, reply, lo, hi)
    elif reply is None:
        hi = min(hi, book.expires(life)[1] - 1)
        if life.reason is None and lo <= hi:
            yield with_life(state, life._replace(seen=(max(life.seen[0], lo), max(life.seen[1], hi))))
    elif reply.outcome is Outcome.ENDED:
        yield from _refused(book, state, life, reply, lo, hi)
    elif reply.outcome is Outcome.DONE and reply.record is not None and book.may_be_active(life, lo):
        seen = seen_at(book, life, reply.record, lo, min(hi, book.expires(life)[1] - 1))
        if seen is not None:
            yield with_life(state, seen)


def rotate(
    book: Book, state: SlotState, command: c.Rotate, reply: c.Changed | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """The token is replaced if it is the expected one; a session that receives an owner leaves its slot."""
    life = find(state, command.session_id)
    if life is None or (reply is not None and reply.outcome is Outcome.ENDED):
        yield from _known_or_unknown(book, state, life, reply, lo, hi)
        return
    if command.token_hash in (life.token, life.previous):
        yield from _known_or_unknown(book, state, life, reply, lo, hi)
        return
    if not book.may_be_active(life, lo):
        return
    hi = min(hi, book.expires(life)[1] - 1)
    expected = life.token == command.expected_hash
    after = _rotated(life, command, lo, hi) if expected else life
    if reply is None:
        if expected:
            yield with_life(state, after)
    elif reply.record is not None and reply.outcome is (Outcome.DONE if expected else Outcome.CONFLICT):
        told = book.told(after, reply.record)
        if told is not None and lo < reply.record.expires_us:
            yield with_life(state, told)


def _rotated(life: Life, command: c.Rotate, lo: int, hi: int) -> Life:
    until = (lo + command.grace_us, hi + command.grace_us)
    rotated = life._replace(token=command.token_hash, previous=life.token, until=until)
    return rotated if command.owner is None else rotated._replace(owner=command.owner, exclusive=False)


def end(book: Book, state: SlotState, command: c.End, reply: c.Changed | None, lo: int, hi: int) -> Iterator[SlotState]:
    """An active session ends for the reason given; what is over stays as it is."""
    life = find(state, command.session_id)
    if life is None or done_before(state, command.operation_id) is not None:
        yield from _known_or_unknown(book, state, life, reply, lo, hi)
        return
    if is_taken(life, command.meant):
        yield from _over_for_the_caller(book, state, life, reply, lo, hi)
        return
    if reply is not None and reply.outcome is Outcome.ENDED:
        yield from _refused(book, state, life, reply, lo, hi)
        return
    hi = min(hi, book.expires(life)[1] - 1)
    if life.reason is not None or lo > hi:
        return
    after: Life | None = finished(life, book.born[life.id], command.reason, (lo, hi))
    if reply is not None:
        right = after is not None and reply.outcome is Outcome.DONE and reply.record is not None
        after = book.told(after, reply.record) if right and after is not None and reply.record is not None else None
    if after is not None:
        yield book.marked(with_life(state, after), command.operation_id, frozenset(), lo)


# What several of them share


def touched_when_due(book: Book, life: Life, lo: int, hi: int) -> Iterator[Life]:
    """Give the session as seen at some instant from `lo` to `hi` at which that is worth a write."""
    touch_us = book.born[life.id].lifetime.touch_us
    span = max(lo, life.seen[0] + touch_us), min(hi, book.expires(life)[1] - 1)
    if span[0] <= span[1]:
        yield life._replace(seen=(max(span[0], life.seen[0]), max(span[1], life.seen[0])))


def seen_anew(book: Book, life: Life, record: SessionRecord, is_touched: bool, lo: int, hi: int) -> Life | None:
    """Give the active session as it was handed out at some instant from `lo` to `hi`; it is touched when due."""
    touch_us = book.born[life.id].lifetime.touch_us
    if is_touched:
        instant = record.last_seen_us
        due = lo <= instant <= hi and instant - life.seen[0] >= touch_us and instant < book.expires(life)[1]
        return book.told(life._replace(seen=(instant, instant)), record) if due else None
    told = book.told(life, record)
    if told is None or told.reason is not None:
        return None
    return told if lo < min(record.expires_us, record.last_seen_us + touch_us) else None


def seen_at(book: Book, life: Life, record: SessionRecord, lo: int, hi: int) -> Life | None:
    """Give the session as it was touched at some instant from `lo` to `hi`."""
    instant = record.last_seen_us
    if instant < lo or lo > hi:
        return None
    if not (lo <= instant <= hi) and not (life.seen[0] <= instant <= life.seen[1]):
        return None
    if instant < life.seen[0]:
        return None
    return book.told(life._replace(seen=(instant, instant)), record)


def _admitted_until(book: Book, life: Life, token_hash: bytes) -> int:
    """Give the first instant at which the token does not lead to the session for certain; 0: it never does."""
    if life.reason is not None:
        return 0
    until = book.expires(life)[1]
    return until if token_hash == life.token else min(until, 0 if life.until is None else life.until[1])


def _may_refuse(book: Book, life: Life, command: c.Load, reply: c.Loaded, lo: int, hi: int) -> bool:
    if life.may_be_gone and reply.refusal == "unknown":
        return True
    if is_rubbish(book, life, hi) and reply.refusal == "unknown":
        return True
    if reply.refused_id not in (None, life.id):
        return False
    if life.reason is not None:
        return reply.refusal == ("expired" if life.reason == EXPIRED_REASON else "ended")
    begin, end = book.expires(life)
    if reply.refusal == "expired":
        return hi >= begin
    if lo >= end:
        return False
    until = life.until if command.token_hash != life.token else None
    if reply.refusal == "after grace":
        return until is not None and hi >= until[0]
    admitted = until is None or lo < until[1]
    return reply.refusal == "foreign scope" and admitted and command.scope not in (None, book.born[life.id].scope)


def _known_or_unknown(
    book: Book, state: SlotState, life: Life | None, reply: c.Changed | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """An unknown session cannot be changed; a command that comes again changes nothing more."""
    if reply is None:
        return
    if life is None:
        if reply.record is None and reply.outcome is Outcome.ENDED:
            yield state
        return
    if reply.outcome is Outcome.ENDED:
        yield from _refused(book, state, life, reply, lo, hi)
    elif reply.outcome is Outcome.DONE and reply.record is not None:
        told = book.read(life, reply.record, lo, hi) or book.told(life, reply.record)
        if told is not None:
            yield with_life(state, told)


def _refused(book: Book, state: SlotState, life: Life, reply: c.Changed, lo: int, hi: int) -> Iterator[SlotState]:
    """What is over is not changed; the answer shows it as it is, unless it has been forgotten."""
    if reply.record is None:
        if life.may_be_gone or is_rubbish(book, life, hi):
            yield state
        return
    told = book.read(life, reply.record, lo, hi)
    if told is not None and reply.record.reason is not None:
        yield with_life(state, told)


def _over_for_the_caller(
    book: Book, state: SlotState, life: Life, reply: c.Changed | None, lo: int, hi: int
) -> Iterator[SlotState]:
    """Nothing is changed for one who knew a visitor before its login; the answer shows the session, active or not."""
    if reply is None or reply.outcome is not Outcome.ENDED:
        return
    told = None if reply.record is None else book.read(life, reply.record, lo, hi)
    if told is not None and told.reason is None:
        yield with_life(state, told)
    else:
        yield from _refused(book, state, life, reply, lo, hi)


def is_rubbish(book: Book, life: Life, hi: int) -> bool:
    """Tell whether its time as history is over: an engine may collect it by itself."""
    end = book.expires(life) if life.ended is None else life.ended
    return hi >= end[0] + book.born[life.id].lifetime.retention_us


def is_first_answer(book: Book, state: SlotState, done: Done, records: tuple[SessionRecord, ...], hi: int) -> bool:
    """Tell whether these are the sessions that the command ended when it was done, but for those forgotten since."""
    told = {record.id: record for record in records}
    for session_id in done.ended:
        life, record = find(state, session_id), told.pop(session_id, None)
        if life is None or (record is None and not life.may_be_gone and not is_rubbish(book, life, hi)):
            return False
        if record is not None and book.told(life, record) is None:
            return False
    return not told
