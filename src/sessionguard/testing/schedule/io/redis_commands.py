"""Commands to Redis, told as they leave: client, pipeline, script and cluster all end in one method of a connection."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any, Final

from sessionguard.core.points import Part
from sessionguard.testing.schedule.io.listening import Access, Listener, Touched, mine
from sessionguard.testing.schedule.io.naming import stable
from sessionguard.testing.schedule.io.replacing import Replacements

_SERVER: Final = "redis"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_READS: Final = _names(
    "BITCOUNT BITFIELD_RO BITPOS DUMP EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS GEOSEARCH "
    "GET GETBIT GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS KEYS LCS LINDEX LLEN "
    "LPOS LRANGE MGET OBJECT PEXPIRETIME PFCOUNT PTTL RANDOMKEY SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS "
    "SMISMEMBER SORT_RO SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TOUCH TTL TYPE WATCH XINFO XLEN XPENDING XRANGE XREAD "
    "XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE "
    "ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION DBSIZE"
)
_WITHOUT_KEYS: Final = _names(
    "ACL ASKING AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DISCARD ECHO HELLO INFO LASTSAVE LATENCY "
    "MEMORY MODULE MONITOR MULTI PING PSUBSCRIBE PUNSUBSCRIBE QUIT READONLY READWRITE REPLICAOF RESET ROLE SAVE SCRIPT "
    "SELECT SLOWLOG SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE TIME UNSUBSCRIBE UNWATCH WAIT WAITAOF EXEC"
)
"""Those of them that change a server change no key that others read, or name it in what they enclose."""
_ON_ALL: Final = _names("DBSIZE FLUSHALL FLUSHDB KEYS RANDOMKEY SCAN SWAPDB FUNCTION")
_ALL_ARE_KEYS: Final = _names(
    "DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE TOUCH UNLINK WATCH"
)
_TWO_KEYS: Final = _names("BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE")
_COUNTED_KEYS: Final = _names("EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO")
_COUNTED_FIRST: Final = _names("SINTERCARD ZDIFF ZINTER ZINTERCARD ZUNION LMPOP ZMPOP")
_SECOND: Final = _names("OBJECT XINFO XGROUP BITOP")


def add(replacements: Replacements) -> None:
    """Let connections tell of what they send, if redis is installed."""
    try:
        from redis import connection as blocking
        from redis.asyncio import connection as asynchronous
    except ImportError:
        return
    for kind in _kinds(blocking.AbstractConnection):
        replacements.replace(kind, "send_packed_command", _telling)
    for kind in _kinds(asynchronous.AbstractConnection):
        replacements.replace(kind, "send_packed_command", _telling_async)


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _telling(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def send_packed_command(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        listener = mine()
        if listener is not None:
            command = _kept(command)
            access = accessed(command)
            if access is not None:
                listener.reach(access)
        return real(self, command, *args, **kwargs)

    return send_packed_command


def _telling_async(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    async def send_packed_command(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        listener: Listener | None = mine()
        if listener is not None:
            command = _kept(command)
            access = accessed(command)
            if access is not None:
                await listener.areach(access)
        return await real(self, command, *args, **kwargs)

    return send_packed_command


def _kept(command: Any) -> Any:
    return command if isinstance(command, bytes | str | list) else list(command)


def accessed(packed: bytes | str | Iterable[bytes]) -> Access | None:
    """Give what packed commands reach, all of them together; None if they name nothing that others share."""
    parts = [packed] if isinstance(packed, bytes | str) else packed
    text = b"".join(part.encode() if isinstance(part, str) else bytes(part) for part in parts)
    labels, touched = [], []
    for words in _commands(text):
        found = _touched(words)
        if found:
            keys = ", ".join(str(resource.name) if isinstance(resource, Part) else "*" for resource, _ in found)
            labels.append(f"{words[0].decode(errors='replace').upper()} {stable(keys)}")
            touched += found
    return Access("; ".join(labels), list(dict.fromkeys(touched))) if touched else None


def _commands(text: bytes) -> Iterator[list[bytes]]:
    """Read arrays of bulk strings, as clients send them (RESP)."""
    at = 0
    while at < len(text) and text[at : at + 1] == b"*":
        end = text.index(b"\r\n", at)
        count, at = int(text[at + 1 : end]), end + 2
        words = []
        for _ in range(count):
            end = text.index(b"\r\n", at)
            size, at = int(text[at + 1 : end]), end + 2
            words.append(text[at : at + size])
            at += size + 2
        if words:
            yield words


def _touched(words: Sequence[bytes]) -> list[Touched]:
    name = words[0].decode(errors="replace").upper()
    if name in _WITHOUT_KEYS:
        return []
    mode = "r" if name in _READS else "w"
    keys = [] if name in _ON_ALL else _keys(name, words[1:])
    if not keys:
        return [(_SERVER, mode)]  # type: ignore[list-item]
    return [(Part(_SERVER, key.decode(errors="backslashreplace")), mode) for key in keys]  # type: ignore[misc]


def _keys(name: str, words: Sequence[bytes]) -> Sequence[bytes]:
    if name in _ALL_ARE_KEYS:
        return words
    if name in ("MSET", "MSETNX"):
        return words[::2]
    if name in _TWO_KEYS:
        return words[:2]
    if name in _COUNTED_KEYS:
        return _counted(words[1:])
    if name in _COUNTED_FIRST:
        return _counted(words)
    if name in ("ZINTERSTORE", "ZUNIONSTORE", "ZDIFFSTORE"):
        return [*words[:1], *_counted(words[1:])]
    if name in ("BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX"):
        return words[:-1]
    if name in _SECOND:
        return words[1:2] if name != "BITOP" else words[1:]
    if name in ("XREAD", "XREADGROUP", "BLMPOP", "BZMPOP", "MIGRATE", "SORT"):
        return []
    return words[:1]


def _counted(words: Sequence[bytes]) -> Sequence[bytes]:
    count = int(words[0]) if words and words[0].isdigit() else 0
    return words[1 : 1 + count]
