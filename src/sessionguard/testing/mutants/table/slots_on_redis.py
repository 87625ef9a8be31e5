"""The same service on Redis: a script that compares and sets, optimistic locking, and what both prevent."""

from pathlib import Path
from typing import Any

import redis

from sessionguard.core.points import point
from sessionguard.testing.servers import RedisServer

_SCRIPT = """
if redis.call('SETNX', KEYS[1], ARGV[1]) == 1 then return ARGV[1] end
return redis.call('GET', KEYS[1])
"""


class GetsThenSets:
    """Gets, and sets what is missing, in two round trips."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.client = connected(server)

    def clear(self) -> None:
        """Forget all."""
        self.client.flushdb()

    def open(self, slot: str, new: str) -> str:
        """Give the session of the slot."""
        point("GET", slot, "r")
        found = self.client.get(slot)
        if found is not None:
            return str(found)
        point("SET", slot, "w")
        self.client.set(slot, new)
        return new


class ComparesInLua(GetsThenSets):
    """Compares and sets in one script."""

    def open(self, slot: str, new: str) -> str:
        point("EVAL", slot, "w")
        return str(self.client.eval(_SCRIPT, 1, slot, new))


class WatchesAndRetries(GetsThenSets):
    """Gets and sets in two round trips, watches the key, and begins again if somebody else was faster."""

    def open(self, slot: str, new: str) -> str:
        while True:
            with self.client.pipeline() as pipe:
                point("WATCH, GET", slot, "r")
                pipe.watch(slot)
                found: Any = pipe.get(slot)
                if found is not None:
                    return str(found)
                pipe.multi()
                pipe.set(slot, new)
                point("EXEC", slot, "w")
                try:
                    pipe.execute()
                except redis.WatchError:
                    continue
                return new


def connected(server: RedisServer) -> Any:
    """Give the client of a server, one for all schedules."""
    if server not in _clients:
        _clients.clear()
        _clients[server] = redis.Redis.from_url(server.url, decode_responses=True)
    return _clients[server]


_clients: dict[RedisServer, Any] = {}
