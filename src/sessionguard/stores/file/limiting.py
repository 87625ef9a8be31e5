"""Making room for one more session of an owner, with every shard locked in which that owner has sessions.

Who has to go is ended first and durably, and only then is the other one opened or given its owner: a call that is
interrupted in between has ended too many, which its repetition tells, and never leaves more than are allowed.
"""

from collections.abc import Callable
from typing import TypeVar

from sessionguard.core import commands as c
from sessionguard.core.limits import ActiveLimit
from sessionguard.core.tokens import shard_of, shard_tag
from sessionguard.stores.file.listing import ids_of_owner
from sessionguard.stores.file.rooms import Room
from sessionguard.stores.file.shards import Shards
from sessionguard.stores.file.views import Desk

C = TypeVar("C", bound=c.Create | c.GetOrCreate | c.Replace | c.Rotate)
R = TypeVar("R")


def within_limit(
    shards: Shards, shard: str, owner: str, limit: ActiveLimit, work: Callable[[Desk, C, Room], R], command: C
) -> R:
    """Give the reply of `work` in one shard, to which all others are lent in which the owner has sessions."""
    home, deadline = shard_tag(shards.folder.deployment_id, owner), shards.deadline()
    wanted = {shard, home}
    while True:
        with shards.changing(command.verb, wanted, deadline) as locked:
            # Nobody gives the owner another session while the home shard is locked.
            ids = ids_of_owner(locked[home].desk, owner)
            missing = {shard_of(session_id) for session_id in ids} - wanted
            if not missing:
                desks = {name: one.desk for name, one in locked.items()}
                room = Room(owner, command.operation_id, limit, ids, desks)
                reply = work(locked[shard].desk, command, room)
                for one in sorted(locked.values(), key=lambda one: one is locked[shard]):
                    one.commit()
                return reply
        wanted |= missing
