"""What each script of a guard asks the store, as commands: so that a bare driver can be sent the very same.

Making them, and what they need in the store, is not timed.
"""

import itertools
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sessionguard import SessionPolicy
from sessionguard.core import commands as c
from sessionguard.core.data import encode_fields, join_fields
from sessionguard.core.driving import perform, run
from sessionguard.core.leases import HoldLease, ReleaseLease
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.core.tokens import Mint
from tests.benchmarks.guard_calls import DATA, fresh_owners

_LIFETIME: Final = SessionPolicy().lifetime()
_TEXT: Final = join_fields(encode_fields(DATA, max_depth=8))
_MINT: Final = Mint(secrets.token_bytes)


class Underneath:
    """The commands of one store."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._deployment_id = self.ask(c.Identify())

    def ask(self, command: c.Command[c.R]) -> c.R:
        """Ask the store."""
        return run(perform(command), self._store)

    def commands_of(self, script: str, n: int) -> Sequence[c.Command[Any]]:
        """Give what `n` calls of a script ask."""
        match script:
            case "load":
                return self._loads([self.stored().token_hash] * n)
            case "load_and_touch":
                return self._loads([self.stored(timedelta(minutes=5)).token_hash for _ in range(n)])
            case "load_unknown":
                return self._loads([self._new("ana").token_hash] * n)
            case "get":
                return [c.Get(self.stored().id, None)] * n
            case "get_or_create_hit":
                self.ask(self._open(c.GetOrCreate, "bo"))
                return [self._open(c.GetOrCreate, "bo") for _ in range(n)]
            case "get_or_create_miss":
                return [self._open(c.GetOrCreate, owner) for owner in fresh_owners(n)]
            case "create":
                return [self._open(c.Create, "ana") for _ in range(n)]
            case "replace":
                self.ask(self._open(c.GetOrCreate, "cy"))
                return [self._open(c.Replace, "cy") for _ in range(n)]
            case "save_one_field" | "save_expected_version":
                return self._saves(n, expected=script == "save_expected_version")
            case "touch":
                session_id = self.stored().id
                return [c.Touch(session_id, None, _operation()) for _ in range(n)]
            case "rotate":
                return self._rotations(n)
            case "end":
                return [c.End(self.stored().id, None, _operation(), "revoked") for _ in range(n)]
            case "hold":
                return self._holdings(n)
            case "sweep_100":
                for _ in range(100 * n):
                    self.stored(timedelta(days=30))
                return [c.Sweep(100, None, _operation()) for _ in range(n)]
        raise LookupError(script)

    def stored(self, age: timedelta = timedelta(0)) -> SessionRecord:
        """Give a session that was opened so long ago."""
        at = datetime.now(UTC) - age if age else None
        return self.ask(c.Create(self._new("ana"), at, _operation())).record

    def _new(self, owner: str) -> NewSession:
        minted = _MINT.new(self._deployment_id, owner)
        return NewSession(minted.session_id, "default", owner, None, minted.token_hash, _TEXT, _LIFETIME)

    def _open(self, kind: Any, owner: str) -> c.Command[c.Opened]:
        new = self._new(owner)
        command: c.Command[c.Opened] = kind(new, None, new.id)
        return command

    def _loads(self, hashes: Sequence[bytes]) -> list[c.Load]:
        return [c.Load(token_hash, None, None, "") for token_hash in hashes]

    def _saves(self, n: int, *, expected: bool) -> list[c.Save]:
        session_id = self.stored().id
        return [
            c.Save(session_id, None, _operation(), {"step": str(number)}, (), number + 1 if expected else None, 65536)
            for number in range(n)
        ]

    def _holdings(self, n: int) -> list[c.Command[Any]]:
        session_id = self.stored().id
        asked: list[c.Command[Any]] = []
        for holder in (_operation() for _ in range(n)):
            asked += HoldLease(session_id, holder, None, 15_000_000), ReleaseLease(session_id, holder, None)
        return asked

    def _rotations(self, n: int) -> list[c.Rotate]:
        record = self.stored()
        hashes = [record.token_hash, *(_MINT.renewed(record.id).token_hash for _ in range(n))]
        return [
            c.Rotate(record.id, None, _operation(), former, latter, 1, None)
            for former, latter in itertools.pairwise(hashes)
        ]


def _operation() -> str:
    return _MINT.operation_id()
