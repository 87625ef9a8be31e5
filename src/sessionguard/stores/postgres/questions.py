"""What each command sends and how its answer is read: the part that both stores share.

The first parameter is the echo: it comes back with every row, so that an answer to another question is noticed. It is
the operation id, or, where a question has none of its own or is asked again and again, the number of the question.
"""

import itertools
import json
import os
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.data import join_fields
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.limits import ActiveLimit
from sessionguard.core.paging import from_cursor
from sessionguard.core.records import SessionRecord
from sessionguard.core.visitors import visitor_of
from sessionguard.stores.postgres import rows
from sessionguard.stores.postgres.rows import Rows

C = TypeVar("C", bound=c.Command[Any])
R = TypeVar("R")

Parameters = tuple[Any, ...]

# Half of what a bigint holds, so that an instant may be added to it or taken from it.
_LARGEST: Final = 2**62

_numbers: Final = itertools.count()
_PREFIX: Final = secrets.token_hex(8)


@frozen
class Question(Generic[C, R]):
    """One verb: its parameters, and its reply."""

    verb: str
    parameters: Callable[[C], Parameters]
    reply: Callable[[Rows], R]


def _number() -> str:
    """Give what no other question is marked with, also none of a process that was forked from this one."""
    return f"{_PREFIX}.{os.getpid()}.{next(_numbers)}"


def _at(at: datetime | None) -> int | None:
    """Give the instant that a command names; None leaves it to the clock of the server."""
    return None if at is None else to_us(at)


def _storable(number: int) -> int:
    return max(-_LARGEST, min(number, _LARGEST))


def _opening(command: c.Create | c.GetOrCreate | c.Replace) -> Parameters:
    new = command.new
    life = new.lifetime
    return (
        command.operation_id, _at(command.at), new.id, new.scope, new.owner, new.external_id or "", new.token_hash,
        new.data, life.idle_us, life.absolute_us, life.touch_us, life.retention_us, life.keeps_data,
    )  # fmt: skip


def _opening_limited(command: c.Create | c.GetOrCreate | c.Replace) -> Parameters:
    return *_opening(command), *_limit(command.at_most)


def _limit(limit: ActiveLimit | None) -> Parameters:
    assert limit is not None
    return _storable(limit.most), limit.on_limit


def _load(command: c.Load) -> Parameters:
    # It changes nothing, so guards draw no operation id for it.
    return _number(), _at(command.at), command.token_hash, command.scope, command.extends


def _page(command: c.Page) -> Parameters:
    newest, after_id = (-_LARGEST, "") if command.cursor is None else from_cursor(command.cursor)
    shared = command.scope, command.owner, command.status, _storable(command.limit)
    return _number(), _at(command.at), *shared, _storable(-newest), after_id


def _save(command: c.Save) -> Parameters:
    fence = command.fence
    return (
        command.operation_id, _at(command.at), command.session_id, join_fields(command.changes),
        json.dumps(command.remove) if command.remove else "[]",
        None if command.expected_version is None else _storable(command.expected_version),
        _storable(command.limit_bytes),
        None if fence is None else fence.name, None if fence is None else _storable(fence.number),
    )  # fmt: skip


def _touch(command: c.Touch) -> Parameters:
    return command.operation_id, _at(command.at), command.session_id


def _end(command: c.End) -> Parameters:
    return command.operation_id, _at(command.at), command.session_id, command.reason


def _rotate(command: c.Rotate) -> Parameters:
    named = command.operation_id, _at(command.at), command.session_id
    return *named, command.expected_hash, command.token_hash, _storable(command.grace_us), command.owner


def _rotate_limited(command: c.Rotate) -> Parameters:
    return *_rotate(command), *_limit(command.at_most)


def _end_owner(command: c.EndOwner) -> Parameters:
    named = command.operation_id, _at(command.at)
    return *named, command.owner, command.scope, command.keep_id, command.reason


def _purge(command: c.Purge) -> Parameters:
    age = None if command.older_than_us is None else _storable(command.older_than_us)
    return command.operation_id, _at(command.at), age, _storable(command.limit)


def _lease(command: c.AcquireLock | c.RenewLock) -> Parameters:
    named = _number(), _at(command.at), command.session_id, command.name
    return *named, command.holder, _storable(command.lease_us)


def _hold(command: le.HoldLease) -> Parameters:
    return _number(), _at(command.at), command.session_id, command.holder, _storable(command.lease_us)


def of_create(command: c.Create) -> Question[c.Create, c.Opened]:
    """Give the question that a command asks: with a limit, another function answers it."""
    return CREATE if command.at_most is None else CREATE_LIMITED


def of_get_or_create(command: c.GetOrCreate) -> Question[c.GetOrCreate, c.Opened]:
    """Give the same for `get_or_create`."""
    return GET_OR_CREATE if command.at_most is None else GET_OR_CREATE_LIMITED


def of_replace(command: c.Replace) -> Question[c.Replace, c.Opened]:
    """Give the same for `replace`."""
    return REPLACE if command.at_most is None else REPLACE_LIMITED


def of_rotate(command: c.Rotate) -> Question[c.Rotate, c.Changed]:
    """Give the same for `rotate`, which only a new owner makes a matter of limits."""
    return ROTATE if command.at_most is None or command.owner is None else ROTATE_LIMITED


def of_save(command: c.Save) -> Question[c.Save, c.Changed]:
    """Give the question of a change: for what may have received its owner since, another function answers it."""
    return SAVE if visitor_of(command.meant) is None else SAVE_OF


def of_touch(command: c.Touch) -> Question[c.Touch, c.Changed]:
    """Give the same for `touch`."""
    return TOUCH if visitor_of(command.meant) is None else TOUCH_OF


def of_end(command: c.End) -> Question[c.End, c.Changed]:
    """Give the same for `end`."""
    return END if visitor_of(command.meant) is None else END_OF


def of_acquire_lock(command: c.AcquireLock) -> Question[c.AcquireLock, c.LockReply]:
    """Give the same for `acquire_lock`."""
    return ACQUIRE_LOCK if visitor_of(command.meant) is None else ACQUIRE_LOCK_OF


def of_hold_lease(command: le.HoldLease) -> Question[le.HoldLease, le.LeaseReply]:
    """Give the same for `hold_lease`."""
    return HOLD_LEASE if visitor_of(command.meant) is None else HOLD_LEASE_OF


IDENTIFY: Final[Question[c.Identify, str]] = Question("identify", lambda _: (_number(),), rows.to_text)
CREATE: Final[Question[c.Create, c.Opened]] = Question("create", _opening, rows.to_opened)
GET_OR_CREATE: Final[Question[c.GetOrCreate, c.Opened]] = Question("get_or_create", _opening, rows.to_opened)
REPLACE: Final[Question[c.Replace, c.Opened]] = Question("replace", _opening, rows.to_opened)
CREATE_LIMITED: Final[Question[c.Create, c.Opened]] = Question("create_limited", _opening_limited, rows.to_opened)
GET_OR_CREATE_LIMITED: Final[Question[c.GetOrCreate, c.Opened]] = Question(
    "get_or_create_limited", _opening_limited, rows.to_opened
)
REPLACE_LIMITED: Final[Question[c.Replace, c.Opened]] = Question("replace_limited", _opening_limited, rows.to_opened)
LOAD: Final[Question[c.Load, c.Loaded]] = Question("load", _load, rows.to_loaded)
GET: Final[Question[c.Get, SessionRecord | None]] = Question(
    "get", lambda command: (_number(), _at(command.at), command.session_id), rows.to_known
)
PAGE: Final[Question[c.Page, c.PageOfRecords]] = Question("page", _page, rows.to_page)
SAVE: Final[Question[c.Save, c.Changed]] = Question("save", _save, rows.to_changed)
SAVE_OF: Final[Question[c.Save, c.Changed]] = Question(
    "save_of", lambda command: (*_save(command), visitor_of(command.meant)), rows.to_changed
)
TOUCH: Final[Question[c.Touch, c.Changed]] = Question("touch", _touch, rows.to_changed)
TOUCH_OF: Final[Question[c.Touch, c.Changed]] = Question(
    "touch_of", lambda command: (*_touch(command), visitor_of(command.meant)), rows.to_changed
)
ROTATE: Final[Question[c.Rotate, c.Changed]] = Question("rotate", _rotate, rows.to_changed)
ROTATE_LIMITED: Final[Question[c.Rotate, c.Changed]] = Question("rotate_limited", _rotate_limited, rows.to_changed)
END: Final[Question[c.End, c.Changed]] = Question("end", _end, rows.to_changed)
END_OF: Final[Question[c.End, c.Changed]] = Question(
    "end_of", lambda command: (*_end(command), visitor_of(command.meant)), rows.to_changed
)
END_OWNER: Final[Question[c.EndOwner, c.Ended]] = Question("end_owner", _end_owner, rows.to_ended)
SWEEP: Final[Question[c.Sweep, c.Ended]] = Question(
    "sweep", lambda command: (command.operation_id, _at(command.at), _storable(command.limit)), rows.to_ended
)
PURGE: Final[Question[c.Purge, c.Purged]] = Question("purge", _purge, rows.to_purged)
CENSUS: Final[Question[f.Census, f.Counted]] = Question(
    "census",
    lambda command: (_number(), _at(command.at), repr(command.share), _storable(command.floor)),
    rows.to_counted,
)
FIND_DUE: Final[Question[f.FindDue, tuple[SessionRecord, ...]]] = Question(
    "find_due", lambda command: (_number(), _at(command.at), _storable(command.limit)), rows.to_due
)
TAKE_TURN: Final[Question[f.TakeTurn, Outcome]] = Question(
    "take_turn",
    lambda command: (_number(), _at(command.at), command.name, command.holder, _storable(command.lease_us)),
    rows.to_outcome,
)
GIVE_TURN: Final[Question[f.GiveTurn, Outcome]] = Question(
    "give_turn", lambda command: (_number(), _at(command.at), command.name, command.holder), rows.to_outcome
)
ACQUIRE_LOCK: Final[Question[c.AcquireLock, c.LockReply]] = Question("acquire_lock", _lease, rows.to_lock)
ACQUIRE_LOCK_OF: Final[Question[c.AcquireLock, c.LockReply]] = Question(
    "acquire_lock_of", lambda command: (*_lease(command), visitor_of(command.meant)), rows.to_lock
)
RENEW_LOCK: Final[Question[c.RenewLock, c.LockReply]] = Question("renew_lock", _lease, rows.to_lock)
RELEASE_LOCK: Final[Question[c.ReleaseLock, c.LockReply]] = Question(
    "release_lock",
    lambda command: (_number(), command.session_id, command.name, command.holder),
    rows.to_lock,
)
HOLD_LEASE: Final[Question[le.HoldLease, le.LeaseReply]] = Question("hold_lease", _hold, rows.to_lease)
HOLD_LEASE_OF: Final[Question[le.HoldLease, le.LeaseReply]] = Question(
    "hold_lease_of", lambda command: (*_hold(command), visitor_of(command.meant)), rows.to_lease
)
RELEASE_LEASE: Final[Question[le.ReleaseLease, le.LeaseReply]] = Question(
    "release_lease",
    lambda command: (_number(), _at(command.at), command.session_id, command.holder),
    rows.to_lease,
)
LEASED_UNTIL: Final[Question[le.FindLease, int | None]] = Question(
    "leased_until", lambda command: (_number(), _at(command.at), command.session_id), rows.to_instant
)
