"""From what scripts answer to records: pure, and the only place that knows the order of their fields."""

from typing import Any, Final

from sessionguard.core import commands as c
from sessionguard.core.leases import LeaseReply
from sessionguard.core.lifecycle import Outcome, refusal_of, settled
from sessionguard.core.limits import in_order
from sessionguard.core.records import SessionRecord
from sessionguard.errors import StoreDataError

_OUTCOMES: Final = {outcome.value.encode("ascii"): outcome for outcome in Outcome}


def to_record(shown: Any) -> SessionRecord:
    """Give the record that a script has shown: its id, its fields and its data."""
    try:
        session_id, fields, data = shown
        (
            scope, owner, external_id, exclusive, reason, created_us, last_seen_us, expires_us, absolute_us, ended_us,
            version, generation, token_hash, previous_hash, previous_until_us, touch_us, *_,
        ) = fields  # fmt: skip
        return SessionRecord(
            session_id.decode(),
            scope.decode(),
            owner.decode(),
            None if external_id is None else external_id.decode(),
            exclusive is not None,
            None if reason is None else reason.decode(),
            int(created_us),
            int(last_seen_us),
            int(expires_us),
            int(absolute_us),
            None if ended_us is None else int(ended_us),
            int(version),
            int(generation),
            token_hash,
            previous_hash,
            None if previous_until_us is None else int(previous_until_us),
            int(touch_us),
            _joined(data) if data else "{}",
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise StoreDataError(
            "redis", "decode", "a stored session lacks fields; another program must have changed it"
        ) from error


def _joined(data: list[bytes]) -> str:
    # Sorted, for a server may give the fields of a hash in another order each time.
    names = data[::2]
    if len(names) == 1:
        return f"{{{names[0].decode()}:{data[1].decode()}}}"
    return "{" + b",".join(sorted(map(b"%b:%b".__mod__, zip(names, data[1::2], strict=True)))).decode() + "}"


def to_opened(reply: Any) -> c.Opened:
    """Give the answer to a command that opens."""
    _, _, outcome, shown, ended, *_ = reply
    return c.Opened(to_record(shown), in_order(map(to_record, ended or ())), outcome == b"touched")


def to_loaded(command: c.Load, reply: Any) -> c.Loaded:
    """Give the answer to a load. What was refused is judged here, as on every store."""
    _, now_us, outcome, shown, _ = reply
    if shown is None:
        return c.Loaded(None, False, "unknown")
    record = to_record(shown)
    if outcome == b"touched":
        return c.Loaded(record, True)
    refusal = refusal_of(record, command.token_hash, command.scope, int(now_us))
    return c.Loaded(record) if refusal is None else c.Loaded(None, False, refusal, record.id)


def to_found(reply: Any) -> SessionRecord | None:
    """Give the record that was asked for, an expired one as ended."""
    _, now_us, _, shown, _ = reply
    return None if shown is None else settled(to_record(shown), int(now_us))


def to_changed(reply: Any) -> c.Changed:
    """Give how a change ended."""
    _, now_us, outcome, shown, size = reply
    record = None if shown is None else settled(to_record(shown), int(now_us))
    return c.Changed(_OUTCOMES[outcome], record, 0 if size is None else int(size))


def to_rotated(reply: Any) -> c.Changed:
    """Give how a rotation ended, and whom it ended to make room."""
    _, now_us, outcome, shown, ended, *_ = reply
    record = None if shown is None else settled(to_record(shown), int(now_us))
    return c.Changed(_OUTCOMES[outcome], record, ended=in_order(map(to_record, ended or ())))


def to_records(reply: Any) -> list[SessionRecord]:
    """Give the records of a script that shows several."""
    return to_shown(reply[2])


def to_shown(shown: Any) -> list[SessionRecord]:
    """Give the records of a part of a reply."""
    return list(map(to_record, shown))


def to_settled(reply: Any) -> list[SessionRecord]:
    """Give the same as readers must see them."""
    now_us = int(reply[1])
    return [settled(to_record(shown), now_us) for shown in reply[2]]


def to_lock_reply(reply: Any) -> c.LockReply:
    """Give the answer about a lock."""
    return c.LockReply(_OUTCOMES[reply[2]], int(reply[3]))


def to_lease_reply(reply: Any) -> LeaseReply:
    """Give how it stands with a lease."""
    _, _, outcome, fence, until_us, floor, reason = reply
    why = None if reason is None else reason.decode()
    return LeaseReply(_OUTCOMES[outcome], int(fence), int(until_us), int(floor), why)
