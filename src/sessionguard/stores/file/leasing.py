"""Leases of a session, kept in its file: decided with its shard locked."""

from attrs import evolve

from sessionguard.core.leases import FindLease, HoldLease, LeaseReply, ReleaseLease
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.opening import touched_record
from sessionguard.stores import leases
from sessionguard.stores.file.openings import instant_us
from sessionguard.stores.file.sessions import row_of, store
from sessionguard.stores.file.views import Desk, View


def hold(desk: Desk, command: HoldLease) -> LeaseReply:
    """Hold the session, and touch it if it is active."""
    now_us = instant_us(command.at)
    row = row_of(desk, command.session_id)
    if row is None:
        return LeaseReply(Outcome.ENDED)
    reply, kept = leases.hold(row.leases, row.record, command.holder in row.operations, command, now_us)
    if kept is not None:
        record = row.record if reply.reason is not None else touched_record(row.record, row.lifetime, now_us)
        store(desk, row, evolve(row, record=record, leases=kept))
    return reply


def release(desk: Desk, command: ReleaseLease) -> LeaseReply:
    """Let go, or tell that this holder did before."""
    row = row_of(desk, command.session_id)
    if row is None:
        return LeaseReply(Outcome.CONFLICT)
    was_released, now_us = command.holder in row.operations, instant_us(command.at)
    reply, kept = leases.release(row.leases, row.record, was_released, command.holder, now_us)
    if kept is not None and kept != row.leases:
        done = command.holder if reply.outcome is Outcome.DONE else None
        store(desk, row, evolve(row.changed(row.record, done), leases=kept))
    return reply


def find(view: View, command: FindLease) -> int | None:
    """Give when the last lease lapses."""
    row = row_of(view, command.session_id)
    return None if row is None else row.leases.living(instant_us(command.at)).until_us or None
