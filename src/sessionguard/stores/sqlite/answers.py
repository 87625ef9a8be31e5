"""What was answered to an operation on many sessions, kept as one row, so that its repetition gets the same answer."""

import sqlite3
from typing import Final

from sessionguard.core import commands as c
from sessionguard.core.records import REMEMBERED_US
from sessionguard.stores.sqlite.queries import select_one
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL

# Of old answers no more than this at once, so that no purge keeps the database locked for long.
_BATCH: Final = 1000


def ended_before(connection: sqlite3.Connection, operation_id: str) -> c.Ended | None:
    """Give whom this very operation ended before, as they are now, without those purged since; None if it is new."""
    answer = connection.execute(SQL["answer"], (operation_id,)).fetchone()
    if answer is None:
        return None
    ended, _, has_more = answer
    known = (select_one(connection, "by_id", {"id": session_id}) for session_id in ended.split(",")[:-1])
    return c.Ended(tuple(record for record in known if record is not None), has_more == 1)


def purged_before(connection: sqlite3.Connection, operation_id: str) -> c.Purged | None:
    """Give what this very operation forgot before; None if it is new."""
    answer = connection.execute(SQL["answer"], (operation_id,)).fetchone()
    return None if answer is None else c.Purged(answer[1], answer[2] == 1)


def remember(connection: sqlite3.Connection, operation_id: str, now_us: int, reply: c.Ended | c.Purged) -> None:
    """Keep the answer, with the write lock held in which the operation is done."""
    if isinstance(reply, c.Ended):
        ended, count = "".join(f"{record.id}," for record in reply.records), 0
    else:
        ended, count = "", reply.count
    connection.execute(SQL["remember_answer"], (operation_id, now_us, ended, count, reply.has_more))


def has_old_or_this(connection: sqlite3.Connection, now_us: int, operation_id: str) -> bool:
    """Tell whether there are answers that nobody will ask for again, or one to this very operation."""
    asked = (now_us - REMEMBERED_US, operation_id)
    return bool(connection.execute(SQL["has_old_answers_or_this"], asked).fetchone()[0])


def forget_old(connection: sqlite3.Connection, now_us: int) -> None:
    """Forget a batch of the answers that nobody will ask for again."""
    connection.execute(SQL["forget_old_answers"], (now_us - REMEMBERED_US, _BATCH))
