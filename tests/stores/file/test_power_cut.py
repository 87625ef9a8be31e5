"""A machine that stops: what was acknowledged comes back from the journal, whatever the disk had kept of the files."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionguard import booting
from sessionguard.core import commands as c
from sessionguard.stores.file import FileStore, changeset, journal
from sessionguard.testing.contracts.stage import IDLE, SECOND, Stage
from tests.stores.file.inspecting import disorder, sight

AT = 2 * SECOND


def worked(path: Path) -> Stage:
    """Fill a store, and keep beside it how its files were in the middle."""
    store = FileStore(path)
    stage = Stage(store.identify(c.Identify()))
    opened = [store.get_or_create(stage.get_or_create(f"owner {n}", data={"n": n})).record for n in range(20)]
    shutil.copytree(path, path.with_name("middle"), symlinks=True)
    for record in opened[:10]:
        store.save(stage.save(record, {"saved": True}))
    for record in opened[5:15]:
        store.replace(stage.replace(record.owner, at=SECOND))
    store.end_owner(stage.end_owner("owner 1", at=AT))
    store.create(stage.create("newcomer", at=AT))
    store.close()
    return stage


def stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this another run of the machine."""
    monkeypatch.setattr(booting, "this_boot", lambda: b"another boot id.")


def test_files_of_before_come_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every file as it was long before, and only the journals as they were flushed, nothing is lost."""
    stage = worked(path)
    before = sight(FileStore(path), stage, AT)
    middle = path.with_name("middle")
    for file in path.glob("*/journal"):
        target = middle / file.relative_to(path)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)
    stopped(path, monkeypatch)
    assert sight(FileStore(middle), stage, AT) == before
    assert disorder(middle) == []


def test_files_without_content_are_restored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose name came to the disk before its content, as some file systems do it, is whole again."""
    stage = worked(path)
    before = sight(FileStore(path), stage, AT)
    for file in path.glob("??/sessions/*.json"):
        os.truncate(file, 0)
    stopped(path, monkeypatch)
    assert sight(FileStore(path), stage, AT) == before


def test_an_older_header_loses_no_entry(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only entries are flushed: a header that is older than they are still leads to all of them."""
    stage = worked(path)
    before = sight(FileStore(path), stage, AT)
    for file in path.glob("*/journal"):
        former = path.with_name("middle") / file.relative_to(path)
        if former.exists():
            with file.open("r+b") as opened:
                opened.write(former.read_bytes()[: journal.START])
    stopped(path, monkeypatch)
    assert sight(FileStore(path), stage, AT) == before
    assert disorder(path) == []


def test_a_torn_entry_does_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of which a part is missing was never acknowledged, and is as if it had not been."""
    store = FileStore(path)
    stage = Stage(store.identify(c.Identify()))
    opened = store.create(stage.create()).record
    before = sight(store, stage)
    shutil.copytree(path, path.with_name("before"), symlinks=True)
    store.end(stage.end(opened))
    (file,) = path.glob("??/journal")
    torn = path.with_name("before") / file.relative_to(path)
    with file.open("rb") as opened_file:
        header = journal.read_header(opened_file.fileno())
    assert header is not None
    text = file.read_bytes()
    # The header is the former one: none names an entry before the disk has it.
    torn.write_bytes(torn.read_bytes()[: journal.START] + text[journal.START : header.tail - 40] + bytes(40))
    stopped(path, monkeypatch)
    assert sight(FileStore(path.with_name("before")), stage) == before


def noted(events: list[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Give `function`, and have its name noted at each call."""

    def call(*arguments: Any, **options: Any) -> Any:
        events.append(name)
        return function(*arguments, **options)

    return call


def test_every_change_is_flushed_before_it_is_acknowledged(
    store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each verb that changes something waits for the disk after its entry was written and before anyone sees it."""
    events: list[str] = []
    plain = {name: getattr(os, name) for name in ("pwrite", "fdatasync", "rename", "symlink")}
    for name, function in plain.items():
        monkeypatch.setattr(os, name, noted(events, name, function))
    store.create(stage.create("bea", at=-SECOND))
    opened = store.get_or_create(stage.get_or_create()).record
    # So that the journal in which sweeps are logged is there.
    store.sweep(stage.sweep(1, at=IDLE))
    commands: list[c.Command[Any]] = [
        stage.save(opened, {"n": 1}),
        stage.touch(opened),
        stage.acquire(opened, "one"),
        stage.rotate(opened),
        stage.replace(at=SECOND),
        stage.create(at=SECOND),
        stage.end_owner("ana", at=SECOND),
        stage.sweep(at=IDLE * 2),
        stage.purge(SECOND, at=IDLE * 2),
    ]
    store.create(stage.create("cy"))
    for command in commands:
        events.clear()
        command.apply(store)
        # The entry, the flush, the header by which it counts, the files.
        flush = events.index("fdatasync")
        assert events[flush - 1 : flush + 2] == ["pwrite", "fdatasync", "pwrite"], command.verb
        assert not set(events[:flush]) & {"rename", "symlink"}, command.verb
        assert set(events[flush:]) & {"rename", "symlink"}, command.verb


def test_a_journal_is_begun_anew_only_when_its_files_are_flushed(
    path: Path, store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit every file that the journal names, and the folders of all, are flushed first."""
    opened = store.create(stage.create()).record
    flushed: list[int] = []
    plain_sync, plain_write, ends = os.fsync, journal.write_header, []

    def write_header(descriptor: int, header: journal.Header) -> journal.Header:
        if header.tail == journal.START:
            ends.append(set(flushed))
        return plain_write(descriptor, header)

    def sync(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        plain_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(journal, "write_header", write_header)
    monkeypatch.setattr(journal, "LIMIT_BYTES", 10_000)
    for number in range(100):
        store.save(stage.save(opened, {"text": "x" * 500, "n": number}))
        if ends:
            break
    shard = path / opened.id[:2]
    (flushed_first,) = ends
    wanted = [path, shard, shard / "sessions", shard / "tokens", shard / "sessions" / f"{opened.id}.json"]
    assert {entry.stat().st_ino for entry in wanted} <= flushed_first
    assert (shard / "journal").stat().st_size < 20_000


def test_a_journal_is_cut_only_when_its_new_header_is_flushed(
    store: FileStore, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The former header, which may come back after a stop of the machine, never names entries that are cut off."""
    opened = store.create(stage.create()).record
    monkeypatch.setattr(journal, "LIMIT_BYTES", 1_000)
    events: list[str] = []
    for name in ("pwrite", "fsync", "ftruncate"):
        monkeypatch.setattr(os, name, noted(events, name, getattr(os, name)))
    store.save(stage.save(opened, {"text": "x" * 5000}))
    cut = events.index("ftruncate")
    assert events[cut - 2 : cut] == ["pwrite", "fsync"]


def test_without_a_boot_id_nothing_is_left_for_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not tell its runs apart, files are flushed at each change, and journals stay empty."""
    monkeypatch.setattr(booting, "this_boot", lambda: booting.UNKNOWN_BOOT)
    store = FileStore(path)
    stage = Stage(store.identify(c.Identify()))
    opened = store.create(stage.create()).record
    with (path / opened.id[:2] / "journal").open("rb") as file:
        header = journal.read_header(file.fileno())
    assert header is not None
    assert header.tail == journal.START
    assert FileStore(path).load(stage.load(opened)).record == opened


def test_packing_loses_nothing() -> None:
    """What an entry holds is read back as it was."""
    changes = {"a": changeset.file(b"\0" * 70_000), "ü/b": changeset.link("t"), "c": changeset.GONE}
    assert changeset.unpack(changeset.pack(changes)) == changes
