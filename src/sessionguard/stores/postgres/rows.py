"""From rows to replies: pure, and the only place that knows the order of columns."""

from collections.abc import Sequence
from typing import Any, Final

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core.leases import LeaseReply
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.limits import in_order
from sessionguard.core.paging import to_cursor
from sessionguard.core.records import SessionRecord

Row = tuple[Any, ...]
Rows = Sequence[Row]

# echo, part, number, and then the columns of sg_reply, which are the fields of a SessionRecord in their order.
_RECORD: Final = slice(3, None)
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}


def to_record(row: Row) -> SessionRecord:
    """Give the record that a row carries."""
    return SessionRecord(*row[_RECORD])


def to_text(rows: Rows) -> str:
    """Give the one text that was asked for."""
    return str(rows[0][1])


def to_opened(rows: Rows) -> c.Opened:
    """Give the session that was opened or found, and those that ended on the way."""
    first = rows[0]
    if first[1] == "full":
        return c.REFUSED
    return c.Opened(to_record(first), _ended_beside(rows), first[1] == "touched")


def _ended_beside(rows: Rows) -> tuple[SessionRecord, ...]:
    return in_order(map(to_record, rows[1:])) if len(rows) > 1 else ()


def to_loaded(rows: Rows) -> c.Loaded:
    """Give the session of a token, or why there is none."""
    row = rows[0]
    part = row[1]
    if part == "found":
        return c.Loaded(to_record(row))
    if part == "touched":
        return c.Loaded(to_record(row), True)
    return c.Loaded(None, False, part, row[3])


def to_known(rows: Rows) -> SessionRecord | None:
    """Give the record, or None if the id is not known."""
    return None if rows[0][1] == "unknown" else to_record(rows[0])


def to_changed(rows: Rows) -> c.Changed:
    """Give how a change ended."""
    row = rows[0]
    record = None if row[3] is None else to_record(row)
    return c.Changed(_OUTCOMES[row[1]], record, row[2], _ended_beside(rows))


def to_ended(rows: Rows) -> c.Ended:
    """Give the sessions that were ended."""
    return c.Ended(tuple(map(to_record, rows[:-1])), rows[-1][1] == "more")


def to_purged(rows: Rows) -> c.Purged:
    """Give how many were forgotten."""
    return c.Purged(rows[-1][2], rows[-1][1] == "more")


def to_page(rows: Rows) -> c.PageOfRecords:
    """Give one page; where it ends is the cursor, if more follow."""
    records = tuple(map(to_record, rows[:-1]))
    return c.PageOfRecords(records, to_cursor(records[-1]) if rows[-1][2] else None)


def to_counted(rows: Rows) -> f.Counted:
    """Give how many are due, beside how many are active."""
    return f.Counted(rows[0][2], rows[1][2])


def to_due(rows: Rows) -> tuple[SessionRecord, ...]:
    """Give the sessions that are due."""
    return tuple(map(to_record, rows[:-1]))


def to_outcome(rows: Rows) -> Outcome:
    """Give whether the turn is the holder's."""
    return _OUTCOMES[rows[0][1]]


def to_lock(rows: Rows) -> c.LockReply:
    """Give who has the lock, by its fence."""
    return c.LockReply(_OUTCOMES[rows[0][1]], rows[0][2])


def to_lease(rows: Rows) -> LeaseReply:
    """Give how it stands with a lease."""
    _, part, *told = rows[0]
    return LeaseReply(_OUTCOMES[part], *told)


def to_instant(rows: Rows) -> int | None:
    """Give the instant that was asked for, in microseconds, or None."""
    instant: int | None = rows[0][2]
    return instant
