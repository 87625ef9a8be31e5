"""Sweep the redis-py that is first on the path, and print as JSON what each kind of client gave to whom."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import redis
import redis.asyncio

from sessionguard.testing import RedisServer, TcpProxy
from sessionguard.testing.sweeps import CrossedReplyError, Other, cancel_sweep

DELAY_SECONDS = 0.005
"""How long the network holds each reply back, so that there is an await to be cancelled at."""

Ask = Callable[[str], Awaitable[str]]


def one_connection(url: str) -> redis.asyncio.Redis:
    """Give a client with one connection for all."""
    # Not `from_url`: before 4.5.5 it hands the word on to the connection, which does not know it.
    port = urlsplit(url).port
    return redis.asyncio.Redis(port=port, decode_responses=True, single_connection_client=True)


def pooled(url: str) -> redis.asyncio.Redis:
    """Give a client with a pool, as most are."""
    return redis.asyncio.Redis.from_url(url, decode_responses=True)


def by_get(client: redis.asyncio.Redis) -> Ask:
    """Ask by a command."""
    return client.get


def by_pipeline(client: redis.asyncio.Redis) -> Ask:
    """Ask by a pipeline of one command."""

    async def ask(key: str) -> str:
        async with client.pipeline(transaction=False) as pipeline:
            [value] = await pipeline.get(key).execute()
            return value

    return ask


CASES = {
    "single connection, `get`": (one_connection, by_get),
    "pool, `get`": (pooled, by_get),
    "pool, pipeline": (pooled, by_pipeline),
}


async def verdict_on(url: str, connect: Callable[[str], redis.asyncio.Redis], how: Callable[..., Ask]) -> str:
    """Cancel alice's question everywhere, and give what bob and carol were told."""
    client = connect(url)
    ask = how(client)
    others = [Other("bob", lambda: ask("bob"), "BOB"), Other("carol", lambda: ask("carol"), "CAROL")]
    try:
        # asyncio.wait_for, which redis-py uses, swallows a late cancellation before Python 3.12.
        report = await cancel_sweep(lambda: ask("alice"), others, may_return=True)
    except CrossedReplyError as error:
        return f"{error}, {error.__notes__[-1].partition('only=')[2]}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    finally:
        await (client.aclose if hasattr(client, "aclose") else client.close)()
        await client.connection_pool.disconnect()
    return "clean" if report.total else "nothing was tried"


def main() -> None:
    """Print what this version does."""
    with RedisServer() as server, TcpProxy("127.0.0.1", server.port) as proxy:
        proxy.delay_seconds = DELAY_SECONDS
        for name in ("alice", "bob", "carol"):
            server.command("SET", name, name.upper())
        url = proxy.url_of(server.url)
        verdicts = {name: asyncio.run(verdict_on(url, *case)) for name, case in CASES.items()}
    json.dump({"version": redis.__version__, "verdicts": verdicts}, sys.stdout)


if __name__ == "__main__":
    main()
