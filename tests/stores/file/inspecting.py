"""Looking at a store from outside: what it tells of all its sessions, and whether its files agree with each other."""

import os
from datetime import timedelta
from pathlib import Path

from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.stores.file import FileStore, sessions
from sessionguard.stores.file.rows import Row, to_row
from sessionguard.testing.contracts.stage import START, Stage

INDEXES = ("owners", "expiring", "ended", "forgettable")


@frozen
class Sight:
    """All sessions of a store by their records, and which of them each of their tokens and slots led to."""

    records: tuple[SessionRecord, ...]
    tokens: tuple[str | None, ...]


def sight(store: FileStore, stage: Stage, at: timedelta = START) -> Sight:
    """Look at every session in every way, without changing or locking anything."""
    records = store.page(stage.page(status=None, limit=1000, at=at)).records
    hashes = [one for record in records for one in (record.token_hash, record.previous_hash) if one is not None]
    return Sight(records, tuple(_session_of(store, stage.load(token_hash, at=at)) for token_hash in hashes))


def _session_of(store: FileStore, load: c.Load) -> str | None:
    # Inline, for a load that is not would touch.
    loaded = store.answer_inline(load)
    return None if loaded is None or loaded.record is None else loaded.record.id


def disorder(path: Path) -> list[str]:
    """Name the entries of indexes that are missing, and those that lead to no session or to another one."""
    rows = [to_row(file.stem, file.read_bytes()) for file in path.glob("??/sessions/*.json")]
    expected = {entry: target for row in rows for entry, target in sessions._entries(row).items()}
    expected |= {entry: target for row in rows for entry, target in _slots(row).items()}
    found = dict(_links(path))
    stray = [f"{entry} -> {target}" for entry, target in found.items() if expected.get(entry) != target]
    missing = [f"no {entry}" for entry in expected.keys() - found.keys()]
    locks = {file.stem for file in path.glob("??/locks/*.json")} - {row.record.id for row in rows}
    return stray + missing + [f"locks of {session_id}" for session_id in sorted(locks)]


def _slots(row: Row) -> dict[str, str]:
    record = row.record
    if not record.exclusive or record.reason is not None:
        return {}
    path = sessions._slot_path(record.id[:2], record.scope, record.owner, record.external_id)
    return {path: f"{record.id}.{record.generation}"}


def _links(path: Path) -> list[tuple[str, str]]:
    patterns = ["??/tokens/*", "??/slots/*", *(f"{name}/**/*" for name in INDEXES)]
    links = [entry for pattern in patterns for entry in path.glob(pattern) if entry.is_symlink()]
    found = [(str(entry.relative_to(path)), os.readlink(entry)) for entry in links]
    # A slot without a session remembers only how far it came.
    return [(entry, target) for entry, target in found if not target.startswith(".")]
