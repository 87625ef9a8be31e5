"""Plain SQL for the least that each call has to do, prepared, by psycopg: the price of the guarantees.

The tables and indexes are the store's, the rows are decoded, and every statement is a transaction of its own, as in the
store; there is no function, no lock before the change, no second look at the clock, no merge of fields, no echo, and no
reason for a refusal.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final

import psycopg

from sessionguard import SessionPolicy
from sessionguard.core.data import encode_fields, join_fields
from sessionguard.core.tokens import Mint
from sessionguard.stores.postgres import PostgresStore
from tests.benchmarks.guard_calls import DATA, fresh_owners
from tests.benchmarks.measuring import Side, seconds

LIFETIME: Final = SessionPolicy().lifetime()
TEXT: Final = join_fields(encode_fields(DATA, max_depth=8))
MINT: Final = Mint(secrets.token_bytes)

RECORD: Final = (
    "id, scope, owner, external_id, seat, reason, created_us, last_seen_us, expires_us, absolute_us, ended_us, "
    "version, generation, token_hash, previous_hash, previous_until_us, touch_us, data"
)
TABLE: Final = "plain.sg_session"
INSERT: Final = (
    f"INSERT INTO {TABLE} (id, scope, owner, external_id, seat, created_us, last_seen_us, expires_us, absolute_us, "
    "generation, token_hash, idle_us, touch_us, retention_us, data) "
    f"VALUES (%s, 'default', %s, '', %s, %s, %s, %s, %s, 1, %s, %s, %s, %s, %s) RETURNING {RECORD}"
)
STATEMENTS: Final = {
    "by_token": f"SELECT {RECORD} FROM {TABLE} WHERE token_hash = %s",
    "by_id": f"SELECT {RECORD} FROM {TABLE} WHERE id = %s",
    "by_slot": f"SELECT {RECORD} FROM {TABLE} "
    "WHERE owner = %s AND scope = 'default' AND external_id = '' AND seat = 0 AND active",
    "insert": INSERT,
    "replace": f"WITH ended AS (UPDATE {TABLE} SET active = false, reason = 'replaced', ended_us = %s, data = '{{}}' "
    "WHERE owner = %s AND scope = 'default' AND external_id = '' AND seat = 0 AND active RETURNING generation) "
    f"INSERT INTO {TABLE} (id, scope, owner, external_id, seat, created_us, last_seen_us, expires_us, absolute_us, "
    "generation, token_hash, idle_us, touch_us, retention_us, data) "
    "SELECT %s, 'default', %s, '', %s, %s, %s, %s, %s, 1 + coalesce((SELECT max(generation) FROM ended), 0), %s, "
    f"%s, %s, %s, %s RETURNING {RECORD}",
    "touch": f"UPDATE {TABLE} SET last_seen_us = %s, expires_us = %s WHERE id = %s AND active RETURNING {RECORD}",
    "save": f"UPDATE {TABLE} SET data = %s, version = version + 1, operations = (ARRAY[%s] || operations)[1:32] "
    f"WHERE id = %s AND active RETURNING {RECORD}",
    "rotate": f"UPDATE {TABLE} SET previous_hash = token_hash, previous_until_us = %s, token_hash = %s "
    f"WHERE id = %s AND active AND token_hash = %s RETURNING {RECORD}",
    "end": f"UPDATE {TABLE} SET active = false, reason = 'revoked', ended_us = %s, data = '{{}}' "
    f"WHERE id = %s AND active RETURNING {RECORD}",
    "sweep": f"UPDATE {TABLE} SET active = false, reason = 'expired', ended_us = expires_us, data = '{{}}' WHERE id IN "
    f"(SELECT id FROM {TABLE} WHERE active AND expires_us <= %s ORDER BY expires_us LIMIT 100 FOR UPDATE SKIP LOCKED) "
    f"RETURNING {RECORD}",
}

Values = list[Sequence[Any]]


class PlainPostgres:
    """A schema of its own on a server, and what each statement is executed with; the set-up is not timed."""

    def __init__(self, url: str) -> None:
        with closing(PostgresStore(url, schema="plain")) as store:
            store.migrate()
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=1)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def execute(self, statement: str, values: Values) -> None:
        """Execute the statement once for each of the values, and fetch what it gives."""
        execute, text = self._connection.execute, STATEMENTS[statement]
        for parameters in values:
            execute(text, parameters, binary=True).fetchall()

    def side(self, script: str) -> tuple[Side, str]:
        """Give the bare side of a script of a guard, and what to call it."""
        values, statement, against = _UNDERNEATH[script]

        def measured(n: int) -> float:
            ready = self.values(values, n)
            return seconds(lambda: self.execute(statement, ready))

        return measured, against

    def values(self, statement: str, n: int) -> Values:
        """Give what to execute a statement with, so often, on rows that are made for it."""
        making: dict[str, Callable[[int], Values]] = {
            "by_token": lambda n: [(self._stored()[1],)] * n,
            "unknown": lambda n: [(secrets.token_bytes(33),)] * n,
            "by_id": lambda n: [(self._stored()[0],)] * n,
            "by_slot": self._slots,
            "insert": lambda n: [_new("ana", None) for _ in range(n)],
            "insert_in_slot": lambda n: [_new(owner, 0) for owner in fresh_owners(n)],
            "replace": self._replacements,
            "touch": lambda n: [(_now_us(), _now_us() + 10**9, self._stored()[0]) for _ in range(n)],
            "save": self._saves,
            "rotate": self._rotations,
            "end": lambda n: [(_now_us(), self._stored()[0]) for _ in range(n)],
            "sweep": self._expired,
        }
        return making[statement](n)

    def _stored(self, owner: str = "ana", *, seat: int | None = None, age_us: int = 0) -> tuple[str, bytes]:
        new = _new(owner, seat, age_us=age_us)
        self.execute("insert", [new])
        return new[0], new[7]

    def _slots(self, n: int) -> Values:
        (owner,) = fresh_owners(1)
        self._stored(owner, seat=0)
        return [(owner,)] * n

    def _replacements(self, n: int) -> Values:
        (owner,) = fresh_owners(1)
        self._stored(owner, seat=0)
        return [(_now_us(), owner, *_new(owner, 0)) for _ in range(n)]

    def _saves(self, n: int) -> Values:
        session_id, _ = self._stored()
        return [(TEXT.replace("3", str(number), 1), secrets.token_hex(8), session_id) for number in range(n)]

    def _rotations(self, n: int) -> Values:
        session_id, first = self._stored()
        hashes = [first, *(secrets.token_bytes(33) for _ in range(n))]
        return [(_now_us(), later, session_id, former) for former, later in itertools.pairwise(hashes)]

    def _expired(self, n: int) -> Values:
        for _ in range(100 * n):
            self._stored(age_us=LIFETIME.absolute_us)
        return [(_now_us(),)] * n


def _now_us() -> int:
    return time.time_ns() // 1000


def _new(owner: str, seat: int | None, *, age_us: int = 0) -> tuple[Any, ...]:
    minted = MINT.new("0" * 32, owner)
    now_us = _now_us() - age_us
    life = LIFETIME
    return (
        minted.session_id, owner, seat, now_us, now_us, now_us + life.idle_us, now_us + life.absolute_us,
        minted.token_hash, life.idle_us, life.touch_us, life.retention_us, TEXT,
    )  # fmt: skip


# Script of a guard -> values, statement, and what to call it.
_UNDERNEATH: Final = {
    "load": ("by_token", "by_token", "SELECT"),
    "load_and_touch": ("touch", "touch", "UPDATE"),
    "load_unknown": ("unknown", "by_token", "SELECT"),
    "get": ("by_id", "by_id", "SELECT"),
    "get_or_create_hit": ("by_slot", "by_slot", "SELECT"),
    "get_or_create_miss": ("insert_in_slot", "insert", "INSERT"),
    "create": ("insert", "insert", "INSERT"),
    "replace": ("replace", "replace", "UPDATE and INSERT"),
    "save_one_field": ("save", "save", "UPDATE"),
    "save_expected_version": ("save", "save", "UPDATE"),
    "touch": ("touch", "touch", "UPDATE"),
    "rotate": ("rotate", "rotate", "UPDATE"),
    "end": ("end", "end", "UPDATE"),
    "sweep_100": ("sweep", "sweep", "UPDATE"),
}


class AsyncPlainPostgres:
    """The same statements on an async connection; what they are executed with is made by the blocking one."""

    def __init__(self, plain: PlainPostgres, loop: asyncio.AbstractEventLoop) -> None:
        self._plain = plain
        self._loop = loop
        self._connection = loop.run_until_complete(
            psycopg.AsyncConnection.connect(plain.url, autocommit=True, prepare_threshold=1)
        )

    def close(self) -> None:
        """Close the connection."""
        self._loop.run_until_complete(self._connection.close())

    def side(self, script: str) -> tuple[Side, str]:
        """Give the bare side of a script of a guard, and what to call it."""
        values, statement, against = _UNDERNEATH[script]

        def measured(n: int) -> float:
            return self._loop.run_until_complete(self._execute(statement, self._plain.values(values, n)))

        return measured, against

    async def _execute(self, statement: str, values: Values) -> float:
        execute, text = self._connection.execute, STATEMENTS[statement]
        began = time.perf_counter()
        for parameters in values:
            await (await execute(text, parameters, binary=True)).fetchall()
        return time.perf_counter() - began
