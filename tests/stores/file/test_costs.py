"""What calls cost: files that are touched are counted, and grow with what is asked for, not with what is stored."""

import errno
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.instants import duration_us
from sessionguard.core.records import Lifetime
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.file import FileStore
from sessionguard.testing.contracts.stage import IDLE, LIFETIME, RETENTION, SECOND, START, Stage
from tests.stores.file.inspecting import disorder

LOOKS = ("open", "readlink", "listdir", "stat", "lstat", "rename", "symlink", "unlink", "mkdir", "rmdir")
DUE = 10


def touched_by(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> list[str]:
    """Name every call by which `work` touches a file or folder, and the size of each folder that it lists."""
    touched: list[str] = []

    def watched(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            found = plain(*arguments, **options)
            touched.extend([name] * (max(1, len(found)) if name == "listdir" else 1))
            return found

        return call

    with monkeypatch.context() as watching:
        for name in LOOKS:
            watching.setattr(os, name, watched(name, getattr(os, name)))
        work()
    return touched


def filled(path: Path, live: int) -> tuple[FileStore, Stage]:
    """Give a store with so many sessions that live, and ten that expire before them."""
    store = FileStore(path)
    stage = Stage(store.identify(c.Identify()))
    for number in range(live + DUE):
        lifetime = LIFETIME if number % (live // DUE + 1) == 0 else living(number)
        store.get_or_create(stage.get_or_create(f"owner {number}", lifetime=lifetime))
    return store, stage


def living(number: int) -> Lifetime:
    """Give a lifetime that ends within the next day, each at another time."""
    idle_us = duration_us(timedelta(hours=2 + number % 12, seconds=20 * number))
    return Lifetime(idle_us, 2 * idle_us, idle_us, LIFETIME.retention_us)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[FileStore, Stage]]:
    """A store with few sessions and one with many."""
    return [filled(tmp_path_factory.mktemp("costs") / str(live), live) for live in (20, 300)]


def test_a_sweep_costs_what_it_ends(stores: list[tuple[FileStore, Stage]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ending ten sessions among many touches about as many files as among few, and so does finding and forgetting."""
    ending, finding, forgetting, finding_none = [], [], [], []
    for store, stage in stores:
        opened = stage.sweep(at=IDLE + SECOND)
        ending.append(len(touched_by(monkeypatch, lambda store=store, opened=opened: store.sweep(opened))))  # type: ignore[misc]
        assert len(store.sweep(opened).records) == DUE
        again = stage.sweep(at=IDLE + SECOND)
        finding.append(len(touched_by(monkeypatch, lambda store=store, again=again: store.sweep(again))))  # type: ignore[misc]
        purge = stage.purge(SECOND, at=IDLE + RETENTION / 2)
        forgetting.append(len(touched_by(monkeypatch, lambda store=store, purge=purge: store.purge(purge))))  # type: ignore[misc]
        assert store.purge(purge).count == DUE
        none = stage.purge(at=IDLE + RETENTION / 2)
        finding_none.append(len(touched_by(monkeypatch, lambda store=store, none=none: store.purge(none))))  # type: ignore[misc]
    few, many = 0, 1
    assert ending[many] < ending[few] * 1.5
    assert forgetting[many] < forgetting[few] * 1.5
    assert finding[many] <= finding[few] + 6 <= 40
    assert finding_none[many] <= finding_none[few] + 2 <= 20


def test_the_count_sees_a_scan(stores: list[tuple[FileStore, Stage]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure can fail: a list of all that ended looks at every session."""
    store, stage = stores[1]
    assert len(touched_by(monkeypatch, lambda: store.page(stage.page(status="ended", limit=1, at=SECOND)))) > 300


def test_reading_one_session_lists_no_folder(
    stores: list[tuple[FileStore, Stage]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load, a get and a hit in a slot touch the same few files however many there are."""
    for store, stage in stores:
        hit = stage.get_or_create("owner 5", at=SECOND)
        record = store.get_or_create(hit).record
        for command in (stage.load(record, at=SECOND), stage.get(record, at=SECOND), hit):
            touched = touched_by(monkeypatch, lambda command=command, store=store: command.apply(store))  # type: ignore[misc]
            assert len(touched) <= 5, (command.verb, touched)
            assert "listdir" not in touched
        unknown = touched_by(monkeypatch, lambda store=store, stage=stage: store.load(stage.load(b"\0unknown")))  # type: ignore[misc]
        assert len(unknown) <= 4


def test_t26_what_is_unknown_leaves_nothing(path: Path, store: FileStore, stage: Stage) -> None:
    """Thousands of unknown tokens make neither files nor folders."""
    before = sorted(os.listdir(path))
    for number in range(2000):
        assert store.load(stage.load(number.to_bytes(33, "big"))).refusal == "unknown"
        assert store.get(stage.get(stage.new())) is None
    assert sorted(os.listdir(path)) == before


def test_nothing_is_left_of_what_is_forgotten(path: Path, store: FileStore, stage: Stage) -> None:
    """After a purge only what numbers the slots reached is there, the journals, and for a while the log."""
    for number in range(30):
        opened = store.get_or_create(stage.get_or_create(f"owner {number}")).record
        store.rotate(stage.rotate(opened))
        store.acquire_lock(stage.acquire(opened, "one"))
    visitor = store.get_or_create(stage.get_or_create("visitor")).record
    store.rotate(stage.rotate(visitor, owner="ana"))
    assert len(store.sweep(stage.sweep(at=IDLE)).records) == 31
    assert store.purge(stage.purge(START, at=IDLE)).count == 31
    # Ten minutes later the log is emptied, too, and with it what is empty.
    for hours in (2, 4):
        store.purge(stage.purge(at=RETENTION + timedelta(hours=hours)))
        store.purge(stage.purge(START, at=RETENTION + timedelta(hours=hours)))
        store.sweep(stage.sweep(at=RETENTION + timedelta(hours=hours)))
    left = [entry.relative_to(path).parts[-1] for entry in path.rglob("*") if not entry.is_dir()]
    assert set(left) <= {"journal", "floor", "format.json", "ballast"}
    assert [name for name in ("expiring", "ended", "forgettable", "logged") if any((path / name).iterdir())] == []
    assert disorder(path) == []


def test_the_journal_is_bounded(path: Path, store: FileStore, stage: Stage) -> None:
    """However much is written, a journal does not grow beyond its limit and one entry."""
    opened = store.create(stage.create()).record
    for number in range(60):
        store.save(stage.save(opened, {"text": "x" * 9000, "n": number}))
    assert (path / opened.id[:2] / "journal").stat().st_size < 160_000
    assert [entry.name for entry in (path / opened.id[:2]).iterdir() if entry.name.startswith("temporary")] == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("step", ["write", "pwrite", "fdatasync"])
def test_t61_a_change_that_cannot_be_decided_leaves_nothing(
    path: Path, store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    """Whichever step the disk refuses, the call raises, the session is as it was, and no file is left over."""
    opened = store.create(stage.create(data={"n": 1})).record

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as full:
        full.setattr(os, step, refuse)
        with pytest.raises(StoreUnavailableError, match=re.escape(os.strerror(code))):
            store.save(stage.save(opened, {"n": 2}))
    assert store.get(stage.get(opened)) == opened
    assert [entry.name for entry in (path / opened.id[:2]).iterdir() if entry.name.startswith("temporary")] == []
    assert store.save(stage.save(opened, {"n": 3})).record is not None
    assert disorder(path) == []


def test_prolonged_sessions_are_found_at_their_new_deadline(store: FileStore, stage: Stage) -> None:
    """Touching moves the entry: a sweep meets no session before its time."""
    opened = store.create(stage.create(lifetime=LIFETIME)).record
    for minute in range(1, 9):
        store.touch(stage.touch(opened, at=timedelta(minutes=minute)))
    assert store.sweep(stage.sweep(at=IDLE)).records == ()
    assert len(store.sweep(stage.sweep(at=IDLE + timedelta(minutes=8))).records) == 1
