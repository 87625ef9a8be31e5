"""The bare calls underneath: EVALSHA of the very scripts of the store through a plain redis-py client, settings alike.

What a call needs is prepared before the clock starts; what comes back is not decoded.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from sessionguard import SessionPolicy
from sessionguard.core import commands as c
from sessionguard.core.data import encode_fields, join_fields
from sessionguard.core.driving import perform, run
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.core.tokens import Mint
from sessionguard.stores.redis import RedisStore, openings, owning
from sessionguard.stores.redis.asking import Call, Procedure, Words, next_nonce
from sessionguard.stores.redis.keys import TAGS
from sessionguard.stores.redis.scripts import SCRIPTS
from tests.benchmarks.guard_calls import DATA, fresh_owners
from tests.benchmarks.measuring import Side, seconds

LIFETIME: Final = SessionPolicy().lifetime()
TEXT: Final = join_fields(encode_fields(DATA, max_depth=8))
MINT: Final = Mint(secrets.token_bytes)
SETTINGS: Final[dict[str, Any]] = {
    "protocol": 2,
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    "socket_timeout": 5.0,
    "health_check_interval": 0,
}


def begin_all_shards(store: RedisStore) -> str:
    """Do what the first opening in each shard does once, so that it is not measured; give the deployment id."""
    deployment_id = run(perform(c.Identify()), store)
    for tag in TAGS:
        store._drive(openings._adopt(store._home, tag, "create"))
    return deployment_id


class BareRedis:
    """One client, and a store under a prefix of its own that prepares what the client sends."""

    def __init__(self, url: str) -> None:
        self._store = RedisStore(url, prefix="bare")
        self._deployment_id = begin_all_shards(self._store)
        self.client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **SETTINGS)
        for script in SCRIPTS.values():
            self.client.script_load(script.source)

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
        self._store.close()

    def play(self, calls: Sequence[Words]) -> float:
        """Send the calls one after the other, and give how long that took."""
        evalsha = self.client.evalsha

        def send() -> None:
            for words in calls:
                evalsha(*words[1:])  # type: ignore[arg-type]  # words are what it takes

        return seconds(send)

    # Preparing

    def ask(self, command: c.Command[c.R]) -> c.R:
        """Ask the store."""
        return run(perform(command), self._store)

    def new(self, owner: str = "ana") -> NewSession:
        """Give a session to open."""
        minted = MINT.new(self._deployment_id, owner)
        return NewSession(minted.session_id, "default", owner, None, minted.token_hash, TEXT, LIFETIME)

    def stored(self, owner: str = "ana", at: datetime | None = None) -> SessionRecord:
        """Give a session that was opened."""
        return self.ask(c.Create(self.new(owner), at, secrets.token_hex(8))).record

    def words(self, procedure: Callable[[Any, Any], Procedure[Any]], command: c.Command[Any]) -> Words:
        """Give what the store would send for a command."""
        ask = next(procedure(self._store._home, command))
        assert isinstance(ask, Call)
        return ask.by_digest(next_nonce())

    def loads(self, n: int, token_hash: bytes) -> list[Words]:
        """Give loads of a token."""
        command = c.Load(token_hash, None, None, secrets.token_hex(8))
        return [self.words(openings.loaded, command) for _ in range(n)]

    def openings(self, kind: Any, owners: Sequence[str]) -> list[Words]:
        """Give openings of sessions of these owners."""
        return [self.words(openings.opened, kind(self.new(owner), None, secrets.token_hex(8))) for owner in owners]

    def saves(self, n: int, *, expected: bool) -> list[Words]:
        """Give saves of one field of one session."""
        session_id = self.stored().id
        return [
            self.words(
                openings.saved,
                c.Save(
                    session_id, None, secrets.token_hex(8), {"step": str(number)}, (), number + 1 if expected else None,
                    65536,
                ),
            )
            for number in range(n)
        ]  # fmt: skip


def calls_of(bare: BareRedis, name: str, n: int) -> list[Words]:
    """Give what is sent for `n` calls of the script `name` of a guard."""
    match name:
        case "load":
            return bare.loads(n, bare.stored().token_hash)
        case "load_and_touch":
            hashes = [bare.stored(at=datetime.now(UTC) - timedelta(minutes=5)).token_hash for _ in range(n)]
            return [words for token_hash in hashes for words in bare.loads(1, token_hash)]
        case "load_unknown":
            return bare.loads(n, bare.new().token_hash)
        case "get":
            command = c.Get(bare.stored().id, None)
            return [bare.words(openings.found, command) for _ in range(n)]
        case "get_or_create_hit":
            bare.ask(c.GetOrCreate(bare.new("bo"), None, secrets.token_hex(8)))
            return bare.openings(c.GetOrCreate, ["bo"] * n)
        case "get_or_create_miss":
            return bare.openings(c.GetOrCreate, fresh_owners(n))
        case "create":
            return bare.openings(c.Create, ["ana"] * n)
        case "replace":
            bare.ask(c.GetOrCreate(bare.new("cy"), None, secrets.token_hex(8)))
            return bare.openings(c.Replace, ["cy"] * n)
        case "save_one_field" | "save_expected_version":
            return bare.saves(n, expected=name == "save_expected_version")
        case "touch":
            session_id = bare.stored().id
            return [bare.words(openings.touched, c.Touch(session_id, None, secrets.token_hex(8))) for _ in range(n)]
        case "rotate":
            return _rotations(bare, n)
        case "end":
            ends = [c.End(bare.stored().id, None, secrets.token_hex(8), "revoked") for _ in range(n)]
            return [bare.words(openings.ended, command) for command in ends]
    raise LookupError(name)


def _rotations(bare: BareRedis, n: int) -> list[Words]:
    record = bare.stored()
    hashes = [record.token_hash, *(MINT.renewed(record.id).token_hash for _ in range(n))]
    return [
        bare.words(owning.rotated, c.Rotate(record.id, None, secrets.token_hex(8), former, latter, 1, None))
        for former, latter in itertools.pairwise(hashes)
    ]


def side(bare: BareRedis, name: str) -> Side:
    """Give the bare side of a script of a guard, blocking."""
    if name == "sweep_100":
        return lambda n: _sweeps(bare, n)
    return lambda n: bare.play(calls_of(bare, name, n))


def _sweeps(bare: BareRedis, n: int) -> float:
    """Look for what is due in every shard, and end a hundred sessions of one, without our promises about it."""
    long_ago = datetime.now(UTC) - timedelta(days=30)
    ids = [[bare.stored(at=long_ago).id for _ in range(100)] for _ in range(n)]
    home = bare._store._home
    sweeps = [
        home.call("sweep", some[0][:2], None, secrets.token_hex(8), *some).by_digest(next_nonce()) for some in ids
    ]

    def send() -> None:
        for words in sweeps:
            pipeline = bare.client.pipeline(transaction=False)
            for tag in TAGS:
                pipeline.zrangebyscore(home.keys.index(tag, "due"), "-inf", time.time() * 1e6, start=0, num=100)
            pipeline.execute()
            bare.client.evalsha(*words[1:])  # type: ignore[arg-type]

    return seconds(send)


def async_side(bare: BareRedis, loop: asyncio.AbstractEventLoop, url: str, name: str) -> Side:
    """Give the bare side of a script of a guard, on an event loop."""
    client = redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **SETTINGS)

    async def send(calls: Sequence[Words]) -> float:
        began = time.perf_counter()
        for words in calls:
            await client.evalsha(*words[1:])  # type: ignore[arg-type]
        taken = time.perf_counter() - began
        await client.connection_pool.disconnect()
        return taken

    async def warm_and_send(calls: Sequence[Words]) -> float:
        await client.ping()
        return await send(calls)

    return lambda n: loop.run_until_complete(warm_and_send(calls_of(bare, name, n)))
