"""Makes many sessions at once, by the engines themselves: due ones whose time was over an hour ago, and living ones."""

import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import psycopg

from sessionguard.core.records import Lifetime, NewSession
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import PostgresServer, RedisServer

Fill = Callable[[int, int], None]
Expire = Callable[[int], None]

HOUR_US: Final = 3_600_000_000
WEEK_US: Final = 7 * 24 * HOUR_US
DATA: Final = '{"cart":["lamp","chair"],"theme":"dark"}'

_SQLITE: Final = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO sg_session (id, scope, owner, created_us, last_seen_us, expires_us, absolute_us, token_hash,
                        idle_us, touch_us, retention_us, data)
SELECT lower(hex(randomblob(17))), 'default', 'owner ' || lower(hex(randomblob(8))), :begin - n, :begin - n,
       :begin - n + :life, :begin - n + :week, randomblob(33), :life, 60000000, :week, :data
  FROM numbers WHERE n <= :count
"""

_POSTGRES: Final = """
INSERT INTO {schema}.sg_session (id, scope, owner, created_us, last_seen_us, expires_us, absolute_us, token_hash,
                                 idle_us, touch_us, retention_us, data)
SELECT substr(md5(random()::text || n) || md5(n::text), 1, 34), 'default', 'owner ' || md5(random()::text), {begin} - n,
       {begin} - n, {begin} - n + {life}, {begin} - n + {week},
       decode(md5(random()::text || n) || md5(n::text) || '00', 'hex'), {life}, 60000000, {week}, '{data}'
  FROM generate_series(1, {count}) AS n
"""

# As if their users had left among all others: each is where it was when it lived, for a day after its last touch.
_SQLITE_EXPIRED: Final = """
UPDATE sg_session SET last_seen_us = last_seen_us - :past, expires_us = expires_us - :past - abs(random() % :hour)
 WHERE rowid IN (SELECT rowid FROM sg_session WHERE active = 1 ORDER BY random() LIMIT :count)
"""

_POSTGRES_EXPIRED: Final = """
UPDATE {schema}.sg_session
   SET last_seen_us = last_seen_us - {past}, expires_us = expires_us - {past} - (random() * {hour})::bigint
 WHERE id IN (SELECT id FROM {schema}.sg_session WHERE active ORDER BY random() LIMIT {count})
"""

# As `create` leaves a session; one call makes those of one shard.
_REDIS: Final = """
local P, count, begin, life, week, seed, data = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),
  tonumber(ARGV[4]), ARGV[5], ARGV[6]
local tag = string.match(P, '{(..)}')
local function text(number) return string.format('%.0f', number) end
for n = 1, count do
  local digest = redis.sha1hex(seed .. n)
  local id, owner, created = tag .. string.sub(digest, 1, 32), 'owner ' .. digest, begin - n
  local expires = text(created + life)
  redis.call('HSET', P .. 's:' .. id, 'sc', 'default', 'ow', owner, 'cr', text(created), 'ls', text(created),
    'ep', expires, 'ab', text(created + week), 'vn', '1', 'gn', '1', 'th', digest, 'tu', '60000000', 'iu', text(life),
    'rt', text(week))
  redis.call('HSET', P .. 'd:' .. id, '"cart"', data)
  redis.call('SET', P .. 't:' .. digest, id)
  redis.call('ZADD', P .. 'o:' .. redis.sha1hex(owner), text(created), id)
  redis.call('ZADD', P .. 'all', text(created), id)
  redis.call('ZADD', P .. 'due', expires, id)
  for _, kind in ipairs({'s:' .. id, 'd:' .. id, 't:' .. digest, 'o:' .. redis.sha1hex(owner)}) do
    redis.call('PEXPIRE', P .. kind, '2000000000')
  end
end
"""


def _parts(due: int, living: int) -> list[tuple[int, int, int]]:
    """Give how many, when the first was opened, and how long they live untouched."""
    now_us = time.time_ns() // 1000
    return [(due, now_us - 2 * HOUR_US, HOUR_US), (living, now_us, 24 * HOUR_US)]


def fill_sqlite(path: Path) -> Fill:
    """Add rows to a database."""

    def fill(due: int, living: int) -> None:
        with closing(sqlite3.connect(path)) as connection:
            for count, begin, life in _parts(due, living):
                values = {"count": count, "begin": begin, "life": life, "week": WEEK_US, "data": DATA}
                if count:
                    connection.execute(_SQLITE, values)
            connection.commit()
            connection.execute("ANALYZE") if living else None

    return fill


def expire_sqlite(path: Path) -> Expire:
    """Let some of the living rows expire, anywhere in the file."""

    def expire(count: int) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(_SQLITE_EXPIRED, {"past": 25 * HOUR_US, "hour": HOUR_US, "count": count})
            connection.commit()

    return expire


def expire_postgres(server: PostgresServer, schema: str) -> Expire:
    """Let some of the living rows expire, anywhere in the table; all pages have been written since."""

    def expire(count: int) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            text = _POSTGRES_EXPIRED.format(schema=schema, past=25 * HOUR_US, hour=HOUR_US, count=count)
            connection.execute(text.encode())
            connection.execute("CHECKPOINT")

    return expire


def fill_postgres(server: PostgresServer, schema: str) -> Fill:
    """Add rows to a schema."""

    def fill(due: int, living: int) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for count, begin, life in _parts(due, living):
                if count:
                    text = _POSTGRES.format(schema=schema, count=count, begin=begin, life=life, week=WEEK_US, data=DATA)
                    connection.execute(text.encode())
            if living:
                connection.execute(f"VACUUM ANALYZE {schema}.sg_session".encode())

    return fill


def fill_redis(server: RedisServer) -> Fill:
    """Add keys to a server, the same number in each shard."""

    def fill(due: int, living: int) -> None:
        for count, begin, life in _parts(due, living):
            for shard in range(256):
                some = count // 256 + (shard < count % 256)
                if some:
                    base, seed = f"sg:{{{shard:02x}}}:", secrets.token_hex(8)
                    server.command(
                        "EVAL", _REDIS, "1", base, str(some), str(begin), str(life), str(WEEK_US), seed, "[]"
                    )

    return fill


def fill_memory(store: MemoryStore) -> Fill:
    """Add sessions to a store in this process."""

    def fill(due: int, living: int) -> None:
        for count, begin, life in _parts(due, living):
            lifetime = Lifetime(life, WEEK_US, 60_000_000, WEEK_US)
            for n in range(count):
                new = NewSession(
                    secrets.token_hex(17), "default", f"owner {n}", None, secrets.token_bytes(33), DATA, lifetime
                )
                store._shelf.insert(new, exclusive=False, now_us=begin - n)

    return fill
