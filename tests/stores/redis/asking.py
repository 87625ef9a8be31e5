"""Asking a store, blocking or async, and looking at the keys behind its back."""

from collections.abc import Iterator
from typing import Any, TypeVar

from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run, run_async
from sessionguard.core.records import SessionRecord
from sessionguard.stores.redis import AsyncRedisStore, RedisStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import RedisCluster, RedisServer
from sessionguard.testing.servers.redis_wire import RedisLine

R = TypeVar("R")


@frozen
class Session:
    """A store, and a stage that builds its commands."""

    store: RedisStore
    s: Stage

    def ask(self, command: c.Command[R]) -> R:
        """Give the reply to one command."""
        return run(perform(command), self.store)

    def opened(self, owner: str = "ana", **details: Any) -> SessionRecord:
        """Open a session in the slot of `owner`."""
        return self.ask(self.s.get_or_create(owner, **details)).record


async def asked(store: AsyncRedisStore, command: c.Command[R]) -> R:
    """Give the reply of an async store to one command."""
    return await run_async(perform(command), store)


def servers_of(place: RedisServer | RedisCluster) -> tuple[RedisServer, ...]:
    """Give the servers of a place."""
    return (place,) if isinstance(place, RedisServer) else place.nodes


def keys_of(place: RedisServer | RedisCluster, prefix: str) -> Iterator[tuple[RedisLine, bytes]]:
    """Give every key that begins with `prefix` and a colon, with a line to the server that has it."""
    for server in servers_of(place):
        with RedisLine(server.port, server.password) as line:
            for key in line.command("KEYS", f"{prefix}:*"):
                yield line, key.encode("utf-8", "surrogateescape")
