"""The bare statements underneath: the very SQL of the store, on a plain connection with the same pragmas.

What a call needs is prepared before the clock starts, and every write writes something new: SQLite skips an UPDATE
that changes no byte.
"""

import itertools
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final

from sessionguard import SessionPolicy
from sessionguard.core.data import encode_fields, join_fields
from sessionguard.core.opening import opened_record
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.core.tokens import Mint
from sessionguard.stores.leases import Leases
from sessionguard.stores.sqlite import SQLiteStore, rows
from sessionguard.stores.sqlite.statements import STATEMENTS as SQL
from tests.benchmarks.guard_calls import DATA, fresh_owners
from tests.benchmarks.measuring import Side, seconds

LIFETIME: Final = SessionPolicy().lifetime()
TEXT: Final = join_fields(encode_fields(DATA, max_depth=8))
MINT: Final = Mint(secrets.token_bytes)

_OWNED: Final = {"visitor": None}
"""A session that has an owner keeps him, so nothing is compared."""


class BareSQLite:
    """One connection to a database of its own with the store's schema; each method is one bare side."""

    def __init__(self, path: str) -> None:
        store = SQLiteStore(path)
        store.migrate()
        store.close()
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = wal", "synchronous = FULL", "trusted_schema = OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.create_function("sg_merge", 3, rows.sg_merge, deterministic=True)
        self._connection.create_function("sg_size", 4, rows.sg_size, deterministic=True)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _new(self, owner: str = "ana", *, exclusive: bool = False, age_us: int = 0) -> SessionRecord:
        minted = MINT.new("0" * 32, owner)
        new = NewSession(minted.session_id, "default", owner, None, minted.token_hash, TEXT, LIFETIME)
        return opened_record(new, exclusive=exclusive, generation=1, now_us=time.time_ns() // 1000 - age_us)

    def _stored(self, owner: str = "ana", *, exclusive: bool = False, age_us: int = 0) -> SessionRecord:
        record = self._new(owner, exclusive=exclusive, age_us=age_us)
        self._connection.execute(SQL["insert"], rows.to_row(record, LIFETIME))
        return record

    def select_by_token(self, n: int) -> float:
        """SELECT of one session by its token hash."""
        return self._read("by_token", (self._stored().token_hash,), n)

    def select_unknown(self, n: int) -> float:
        """SELECT that finds nothing."""
        return self._read("by_token", (secrets.token_bytes(32),), n)

    def select_by_id(self, n: int) -> float:
        """SELECT of one session by its id."""
        return self._read("by_id", {"id": self._stored().id}, n)

    def select_by_slot(self, n: int) -> float:
        """SELECT of the session of a slot."""
        (owner,) = fresh_owners(1)
        self._stored(owner, exclusive=True)
        return self._read("by_slot", (owner, "default", ""), n)

    def insert(self, n: int) -> float:
        """INSERT of one session without a slot."""
        return self._write("insert", [rows.to_row(self._new(), LIFETIME) for _ in range(n)])

    def insert_in_slot(self, n: int) -> float:
        """INSERT of one session into a slot."""
        records = [self._new(owner, exclusive=True) for owner in fresh_owners(n)]
        return self._write("insert", [rows.to_row(record, LIFETIME) for record in records])

    def touch(self, n: int) -> float:
        """UPDATE of the instants of sessions."""
        now_us = time.time_ns() // 1000
        return self._write("touch", [{"id": self._stored(age_us=10**6).id, "now": now_us, **_OWNED} for _ in range(n)])

    def save(self, n: int) -> float:
        """UPDATE of the data of a session."""
        return self._save(n, lambda number: None)

    def save_expected_version(self, n: int) -> float:
        """UPDATE of the data of a session, if it has this version."""
        return self._save(n, lambda number: number + 1)

    def _save(self, n: int, expected_version: Callable[[int], int | None]) -> float:
        session_id, now_us = self._stored().id, time.time_ns() // 1000
        values = [
            {
                "id": session_id,
                "now": now_us,
                "operation": secrets.token_hex(8),
                "changes": f'{{"step":{number}}}',
                "remove": "[]",
                "expected_version": expected_version(number),
                "limit_bytes": 65536,
                **_OWNED,
            }
            for number in range(n)
        ]
        return self._write("save", values)

    def rotate(self, n: int) -> float:
        """UPDATE of the token hashes of a session."""
        record, now_us = self._stored(), time.time_ns() // 1000
        hashes = [record.token_hash, *(secrets.token_bytes(32) for _ in range(n))]
        values = [
            {"id": record.id, "now": now_us, "grace_us": 1, "expected_hash": former, "token_hash": latter}
            for former, latter in itertools.pairwise(hashes)
        ]
        return self._write("rotate", values)

    def end(self, n: int) -> float:
        """UPDATE that ends sessions."""
        shared = {"now": time.time_ns() // 1000, "reason": "revoked", **_OWNED}
        return self._write(
            "end", [{"id": self._stored().id, "operation": secrets.token_hex(8)} | shared for _ in range(n)]
        )

    def hold(self, n: int) -> float:
        """Two transactions for each holding, one that keeps a lease and touches, and one that lets go of it."""
        session_id, now_us = self._stored().id, time.time_ns() // 1000
        holders = [secrets.token_hex(16) for _ in range(n)]

        def run() -> None:
            for number, holder in enumerate(holders, 1):
                lease = Leases(number, {holder: (number, now_us + 15_000_000)})
                self._change_leases(session_id, holder, lease, "touch", {"now": now_us + number, **_OWNED})
                self._change_leases(session_id, holder, lease.without(holder), "remember", {"operation": holder})

        return seconds(run)

    def _change_leases(self, session_id: str, holder: str, kept: Leases, also: str, values: dict[str, Any]) -> None:
        execute, of_session = self._connection.execute, {"id": session_id}
        execute("BEGIN IMMEDIATE")
        execute(SQL["leases"], of_session | {"holder": holder}).fetchone()
        leases = {"leases": kept.text(), "floor": kept.floor, "until": kept.until_us}
        execute(SQL["keep_leases"], of_session | leases)
        execute(SQL[also], of_session | values).fetchall()
        execute("COMMIT")

    def sweep_100(self, n: int) -> float:
        """UPDATE that ends a hundred expired sessions."""
        self._connection.execute("BEGIN")
        for _ in range(100 * n):
            self._stored(age_us=LIFETIME.absolute_us)
        self._connection.execute("COMMIT")
        now_us = time.time_ns() // 1000
        return self._write("sweep", [{"now": now_us, "limit": 100, "operation": secrets.token_hex(8)}] * n)

    def _read(self, statement: str, parameters: Any, n: int) -> float:
        execute, text = self._connection.execute, SQL[statement]

        def run() -> None:
            for _ in range(n):
                execute(text, parameters).fetchone()

        return seconds(run)

    def _write(self, statement: str, values: list[Any]) -> float:
        execute, text = self._connection.execute, SQL[statement]

        def run() -> None:
            for parameters in values:
                execute(text, parameters).fetchall()

        return seconds(run)


def sides(bare: BareSQLite) -> dict[str, tuple[Side, str]]:
    """Give for each script of a guard the bare statement that it stands on, and what to call it."""
    return {
        "load": (bare.select_by_token, "SELECT"),
        "load_and_touch": (bare.touch, "UPDATE"),
        "load_unknown": (bare.select_unknown, "SELECT"),
        "get": (bare.select_by_id, "SELECT"),
        "get_or_create_hit": (bare.select_by_slot, "SELECT"),
        "get_or_create_miss": (bare.insert_in_slot, "INSERT"),
        "create": (bare.insert, "INSERT"),
        "replace": (bare.insert_in_slot, "INSERT"),
        "save_one_field": (bare.save, "UPDATE"),
        "save_expected_version": (bare.save_expected_version, "UPDATE"),
        "touch": (bare.touch, "UPDATE"),
        "rotate": (bare.rotate, "UPDATE"),
        "end": (bare.end, "UPDATE"),
        "hold": (bare.hold, "two transactions"),
        "sweep_100": (bare.sweep_100, "UPDATE"),
    }
