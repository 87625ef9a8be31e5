"""What a clean-up asks about the whole database: what is due, and whose turn it is."""

import sqlite3

from sessionguard.core import fleet as f
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.stores.sqlite.queries import instant_us, select_all, storable
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL


def census(connection: sqlite3.Connection, command: f.Census) -> f.Counted:
    """Count what is due, in growing parts, until the others are seen to be enough or to be all."""
    now_us = instant_us(command.at)
    most = max(command.floor, 1)
    while True:
        due = _count(connection, "count_due", now_us, most)
        if due < command.floor:
            return f.Counted(due, due)
        enough = command.enough_living(due)
        living = _count(connection, "count_living", now_us, enough)
        # Fewer due than asked for: those are all. Fewer living than would be enough: any more due is too many as well.
        if due < most or living < enough:
            return f.Counted(due, due + living)
        most *= 4


def find_due(connection: sqlite3.Connection, command: f.FindDue) -> tuple[SessionRecord, ...]:
    """Give what a sweep would end."""
    return select_all(connection, "find_due", {"now": instant_us(command.at), "limit": command.limit})


def take_turn(connection: sqlite3.Connection, command: f.TakeTurn) -> Outcome:
    """Take or keep the turn, if nobody else has it."""
    taken = {
        "name": command.name,
        "holder": command.holder,
        "now": instant_us(command.at),
        "lease": command.lease_us,
    }
    return Outcome.DONE if connection.execute(SQL["take_turn"], taken).fetchall() else Outcome.CONFLICT


def give_turn(connection: sqlite3.Connection, command: f.GiveTurn) -> Outcome:
    """Give the turn back, if nobody else has it."""
    given = {"name": command.name, "holder": command.holder, "now": instant_us(command.at)}
    connection.execute(SQL["give_turn"], given)
    (is_anothers,) = connection.execute(SQL["has_turn"], {"name": command.name}).fetchone()
    return Outcome.CONFLICT if is_anothers else Outcome.DONE


def _count(connection: sqlite3.Connection, statement: str, now_us: int, most: int) -> int:
    (count,) = connection.execute(SQL[statement], {"now": now_us, "most": storable(most)}).fetchone()
    return int(count)
