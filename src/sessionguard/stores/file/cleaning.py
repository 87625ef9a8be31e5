"""Ending and forgetting many sessions: each shard in one step, and the answer logged with the last of them."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import groupby

from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import EXPIRED_REASON, Verb, allows
from sessionguard.core.points import point
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of, shard_tag
from sessionguard.errors import StoreError
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.file import operations
from sessionguard.stores.file.folder import Folder
from sessionguard.stores.file.listing import ids_of_owner
from sessionguard.stores.file.locked import LockedShard
from sessionguard.stores.file.openings import instant_us
from sessionguard.stores.file.operations import Answer, answer_of
from sessionguard.stores.file.rows import Row
from sessionguard.stores.file.sessions import ENDED, EXPIRING, FORGETTABLE, finish, forget, is_id, row_of, store
from sessionguard.stores.file.shards import Shards
from sessionguard.stores.file.timelines import Timeline
from sessionguard.stores.file.views import Desk, View

_log = logging.getLogger("sessionguard.file")

IsDue = Callable[[Row], bool]


def end_owner(shards: Shards, command: c.EndOwner) -> c.Ended:
    """End the sessions of an owner, wherever they lie, or tell what this very command did before."""
    home, deadline = shard_tag(shards.folder.deployment_id, command.owner), shards.deadline()
    wanted = {home}
    while True:
        with shards.changing(command.verb, wanted, deadline) as locked:
            # Nobody gives the owner another session while the home shard is locked.
            ids = ids_of_owner(locked[home].desk, command.owner)
            missing = {shard_of(session_id) for session_id in ids} - wanted
            if not missing:
                return _end_owner_in(shards, locked[home], list(locked.values()), ids, command)
        wanted |= missing


def _end_owner_in(
    shards: Shards, home: LockedShard, locked: list[LockedShard], ids: list[str], command: c.EndOwner
) -> c.Ended:
    known = operations.recall(home.desk, command.operation_id)
    if known is not None:
        return c.Ended(tuple(_records(known, {one.desk.shard: one.desk for one in locked}, shards)))
    now_us, ended = instant_us(command.at), list[SessionRecord]()
    desks = {one.desk.shard: one.desk for one in locked}
    for session_id in ids:
        desk = desks[shard_of(session_id)]
        row = row_of(desk, session_id)
        if row is None or row.record.owner != command.owner:
            continue
        if command.operation_id in row.operations and row.record.reason is not None:
            # It was interrupted between two shards.
            ended.append(row.record)
        elif _is_meant(row, command, now_us):
            ended.append(finish(desk, row, command.reason, now_us, command.operation_id))
    operations.remember(home.desk, command.operation_id, answer_of(ended), now_us)
    # The home shard last: its log says that all is done.
    for one in sorted(locked, key=lambda one: one is home):
        one.commit()
    return c.Ended(tuple(ended))


def _is_meant(row: Row, command: c.EndOwner, now_us: int) -> bool:
    record = row.record
    return command.scope in (None, record.scope) and record.id != command.keep_id and allows(record, Verb.END, now_us)


def sweep(shards: Shards, command: c.Sweep) -> c.Ended:
    """End expired sessions, the longest expired first."""
    now_us = instant_us(command.at)
    is_due = partial(is_expired, now_us)

    def find() -> list[str]:
        return _due(shards, EXPIRING, now_us, command.limit, is_due)

    def end(desk: Desk, row: Row) -> str:
        return finish(desk, row, EXPIRED_REASON, now_us, command.operation_id).id

    answer = _in_turn(shards, command, now_us, _Task(find, is_due, end))
    return c.Ended(tuple(_records(answer, {}, shards)), answer.has_more)


def purge(shards: Shards, command: c.Purge) -> c.Purged:
    """Forget ended sessions and their locks; what numbers their slots reached stays used."""
    now_us = instant_us(command.at)
    operations.remove_old(shards.folder, now_us)
    is_due = partial(_is_forgettable, now_us, command.older_than_us)

    def find() -> list[str]:
        if command.older_than_us is None:
            return _due(shards, FORGETTABLE, now_us, command.limit, is_due)
        return _due(shards, ENDED, now_us - command.older_than_us, command.limit, is_due)

    def drop(desk: Desk, row: Row) -> str:
        forget(desk, row)
        return row.record.id

    answer = _in_turn(shards, command, now_us, _Task(find, is_due, drop))
    return c.Purged(answer.count, answer.has_more)


@frozen
class _Task:
    """What a sweep or a purge is about."""

    find: Callable[[], list[str]]
    """Gives what is due, in order, and one more than the limit if there are more."""
    is_due: IsDue
    do: Callable[[Desk, Row], str]


def _in_turn(shards: Shards, command: c.Sweep | c.Purge, now_us: int, task: _Task) -> Answer:
    """Do a task, one clean-up of the whole store at a time, or tell what this very command was answered before.

    A look that finds nothing waits for nobody and leaves no trace.
    """
    known = shards.read(operations.SHARD, lambda view: operations.recall(view, command.operation_id))
    if known is not None or not task.find():
        return known or Answer((), 0, False)
    deadline = shards.deadline()
    with shards.changing(command.verb, {operations.SHARD}, deadline) as locked:
        log = locked[operations.SHARD]
        known = operations.recall(log.desk, command.operation_id)
        if known is not None:
            return known
        found = task.find()
        done, is_whole = _in_each_shard(shards, command, found[: command.limit], task, deadline)
        answer = Answer(tuple(done), len(done), len(found) > command.limit or not is_whole)
        if done:
            operations.remember(log.desk, command.operation_id, answer, now_us)
            _commit(log)
        return answer


def _commit(log: LockedShard) -> None:
    try:
        log.commit()
    except OSError as error:
        # It is done, and told now.
        _log.warning("%s: the log of operations cannot be written: %s", log.desk.folder.path, error)


def is_expired(now_us: int, row: Row) -> bool:
    """Tell whether its time is over and nobody has ended it."""
    return row.record.reason is None and now_us >= row.record.expires_us


def _is_forgettable(now_us: int, older_than_us: int | None, row: Row) -> bool:
    kept_us = row.lifetime.retention_us if older_than_us is None else older_than_us
    is_old = row.record.ended_us is not None and row.record.ended_us + kept_us <= now_us
    return is_old and now_us >= row.leases.until_us


def _due(shards: Shards, timeline: Timeline, until_us: int, limit: int, is_due: IsDue) -> list[str]:
    """Give the ids of what is due, in order, and one more than the limit if there are more.

    A session that cannot be read keeps no other from being cleaned up; it is told when nothing else is due.
    """
    due: list[str] = []
    failure: StoreError | OSError | None = None
    folder, deadline = shards.folder, shards.deadline()
    for entered_us, session_id in _entries(folder, timeline, until_us):
        try:
            if _is_due_or_heals(shards, timeline.path(entered_us, session_id), session_id, is_due, deadline):
                due.append(session_id)
        except (StoreError, OSError) as error:
            if shards.opened_folder() is not folder:
                raise
            _log.warning("%s: a clean-up left out an entry: %s", shards.path, error)
            failure = failure or error
        if len(due) > limit:
            break
    if failure is not None and not due:
        raise failure
    return due


def _entries(folder: Folder, timeline: Timeline, until_us: int) -> Iterator[tuple[int, str]]:
    """Yield what a timeline has entered; it is listed bit by bit, and changes meanwhile with every shard."""
    entries = timeline.until(folder.descriptor, until_us)
    while True:
        point("look for what is due", folder.path, "r")
        entry = next(entries, None)
        if entry is None:
            return
        yield entry


def _is_due_or_heals(shards: Shards, path: str, session_id: str, is_due: IsDue, deadline: Deadline) -> bool:
    row, is_entered = None, True
    if is_id(session_id):
        row, is_entered = shards.read(shard_of(session_id), partial(_row_and_entry, session_id, path))
    if row is not None and is_due(row):
        return True
    if is_entered:
        _heal(shards, path, session_id, deadline)
    return False


def _row_and_entry(session_id: str, path: str, view: View) -> tuple[Row | None, bool]:
    return row_of(view, session_id), view.link(path) is not None


def _heal(shards: Shards, path: str, session_id: str, deadline: Deadline) -> None:
    """Remove an entry that leads to nothing that is due, and make those that should be there."""
    shard = shard_of(session_id) if is_id(session_id) else operations.SHARD
    with shards.changing("heal", {shard}, deadline) as locked:
        desk = locked[shard].desk
        row = row_of(desk, session_id)
        desk.drop(path)
        if row is not None:
            store(desk, None, row)
        locked[shard].commit()


def _in_each_shard(
    shards: Shards, command: c.Sweep | c.Purge, ids: list[str], task: _Task, deadline: Deadline
) -> tuple[list[str], bool]:
    """Do the task with what still is due, each shard in one step; give the ids in order, and whether all were tried.

    A shard that cannot be locked or written keeps no other from being cleaned.
    """
    done: set[str] = set()
    failure: StoreError | OSError | None = None
    for shard, group in groupby(sorted(ids), shard_of):
        try:
            with shards.changing(command.verb, {shard}, deadline) as locked:
                desk = locked[shard].desk
                rows = (row_of(desk, session_id) for session_id in group)
                now_done = {task.do(desk, row) for row in rows if row is not None and task.is_due(row)}
                locked[shard].commit()
        except (StoreError, OSError) as error:
            _log.warning("%s: %s left out a shard: %s", shards.path, command.verb, error)
            failure = failure or error
        else:
            done |= now_done
    if failure is not None and not done:
        raise failure
    # What was done is told in any case: it would not be told again.
    return [session_id for session_id in ids if session_id in done], failure is None


def _records(answer: Answer, desks: Mapping[str, View], shards: Shards) -> Iterator[SessionRecord]:
    """Give the sessions that an answer told of, as they are now; those that were forgotten since are left out."""
    for session_id in answer.ended:
        shard, find = shard_of(session_id), partial(find_row, session_id)
        row = find(desks[shard]) if shard in desks else shards.read(shard, find)
        if row is not None:
            yield row.record


def find_row(session_id: str, view: View) -> Row | None:
    """Give the session with this id."""
    return row_of(view, session_id)
