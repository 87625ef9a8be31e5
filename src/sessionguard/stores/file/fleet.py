"""What a clean-up asks about the whole folder: what is due, by the entries of deadlines alone, and whose turn it is."""

import hashlib
import json
from functools import partial
from itertools import islice
from typing import Final

from sessionguard.core import fleet as f
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of
from sessionguard.errors import StoreDataError
from sessionguard.stores.file.cleaning import find_row, is_expired
from sessionguard.stores.file.openings import instant_us
from sessionguard.stores.file.sessions import EXPIRING, is_id
from sessionguard.stores.file.shards import Shards
from sessionguard.stores.file.views import Desk

SHARD: Final = "turns"
"""Where turns are kept: apart from what a clean-up locks, so that who asks for a turn does not wait for who has it."""


def census(shards: Shards, command: f.Census) -> f.Counted:
    """Count the entries of what is due, in growing parts, until the others are seen to be enough or to be all."""
    now_us, folder = instant_us(command.at), shards.folder.descriptor
    most = max(command.floor, 1)
    while True:
        due = sum(1 for _ in islice(EXPIRING.until(folder, now_us), most))
        if due < command.floor:
            return f.Counted(due, due)
        enough = command.enough_living(due)
        living = sum(1 for _ in islice(EXPIRING.after(folder, now_us), enough))
        if due < most or living < enough:
            return f.Counted(due, due + living)
        most *= 4


def find_due(shards: Shards, command: f.FindDue) -> tuple[SessionRecord, ...]:
    """Give what a sweep would end; nothing is put right on the way."""
    now_us, due = instant_us(command.at), list[SessionRecord]()
    for _, session_id in EXPIRING.until(shards.folder.descriptor, now_us):
        if len(due) == command.limit:
            break
        if is_id(session_id):
            row = shards.read(shard_of(session_id), partial(find_row, session_id))
            if row is not None and is_expired(now_us, row):
                due.append(row.record)
    return tuple(due)


def take_turn(desk: Desk, command: f.TakeTurn) -> Outcome:
    """Take or keep the turn, if nobody else has it."""
    now_us = instant_us(command.at)
    if _is_anothers(desk, command, now_us):
        return Outcome.CONFLICT
    desk.put(_path(command.name), json.dumps([command.holder, now_us + command.lease_us, now_us]).encode())
    return Outcome.DONE


def give_turn(desk: Desk, command: f.GiveTurn) -> Outcome:
    """Give the turn back, if nobody else has it."""
    if _is_anothers(desk, command, instant_us(command.at)):
        return Outcome.CONFLICT
    desk.drop(_path(command.name))
    return Outcome.DONE


def _is_anothers(desk: Desk, command: f.TakeTurn | f.GiveTurn, now_us: int) -> bool:
    text = desk.file(_path(command.name))
    if text is None:
        return False
    try:
        # An older release wrote down only when it lapses.
        holder, until_us, *taken_us = json.loads(text)
        return holder != command.holder and int(taken_us[0] if taken_us else 0) <= now_us < int(until_us)
    except (ValueError, TypeError) as error:
        raise StoreDataError("file", "read", "the file of a turn is damaged; remove the folder of turns") from error


def _path(name: str) -> str:
    return f"{SHARD}/{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}.json"
