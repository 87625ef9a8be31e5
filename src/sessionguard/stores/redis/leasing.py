"""Procedures about leases of a session: each one script, so one round trip."""

from sessionguard.core.leases import FindLease, HoldLease, LeaseReply, ReleaseLease
from sessionguard.core.visitors import visitor_of
from sessionguard.stores.redis import replies
from sessionguard.stores.redis.asking import Procedure
from sessionguard.stores.redis.keys import operation
from sessionguard.stores.redis.openings import Home


def leased(home: Home, command: HoldLease | ReleaseLease) -> Procedure[LeaseReply]:
    """Hold a session, or let go of it."""
    claimed = (command.lease_us, visitor_of(command.meant) or "") if isinstance(command, HoldLease) else ("", "")
    named = command.session_id, operation(command.holder)
    reply = yield home.call(command.verb, command.session_id[:2], command.at, *named, *claimed)
    return replies.to_lease_reply(reply)


def found(home: Home, command: FindLease) -> Procedure[int | None]:
    """Give when the last lease of a session lapses."""
    reply = yield home.call(command.verb, command.session_id[:2], command.at, command.session_id, "", "", "")
    return int(reply[2]) or None
