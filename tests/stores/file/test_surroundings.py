"""Examination, migration, clocks, inline reads, threads and closing."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard
from sessionguard.core import commands as c
from sessionguard.core.records import REMEMBERED_OPERATIONS
from sessionguard.core.tokens import shard_of
from sessionguard.errors import MisuseError, StoreTimeoutError
from sessionguard.stores.contract import ExaminedStore, InlineReads, ListingStore, LockingStore
from sessionguard.stores.file import FileStore, examination
from sessionguard.stores.file.sessions import row_of
from sessionguard.testing import Profile
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import wrong_clock
from tests.stores.file.conftest import OpenStore
from tests.stores.file.workers import guard_on


def levels(store: FileStore) -> dict[str, str]:
    """Give the level of each finding by its subject."""
    return {finding.subject: finding.level for finding in store.examine()}


def test_a_good_store_is_found_good(store: FileStore, stage: Stage) -> None:
    """Nothing is wrong with a new store, and looking changes nothing."""
    store.create(stage.create())
    assert levels(store) == dict.fromkeys(("place", "permissions", "room", "format", "journals"), "ok")
    assert isinstance(store, ExaminedStore)
    assert isinstance(store, ListingStore)
    assert isinstance(store, LockingStore)
    assert isinstance(store, InlineReads)


def test_what_is_wrong_is_found(path: Path, store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trouble has its finding, with a remedy."""
    path.chmod(0o755)
    assert levels(store)["permissions"] == "warning"
    path.chmod(0o777)
    assert levels(store)["permissions"] == "problem"
    path.chmod(0o700)
    monkeypatch.setattr(examination, "current_file_system", lambda path: "nfs4")
    assert levels(store)["place"] == "problem"
    monkeypatch.setattr(examination, "current_file_system", lambda path: "overlay")
    assert levels(store)["place"] == "warning"
    (path / "format.json").write_text("{}")
    assert levels(store)["format"] == "problem"
    assert all(finding.remedy for finding in store.examine() if finding.level != "ok")


def test_a_store_that_is_not_there_yet_is_no_problem(path: Path) -> None:
    """Neither looking nor a dry run makes anything; a migration does."""
    store = FileStore(path)
    assert levels(store) == {"folder": "warning"}
    assert store.migrate(dry_run=True) == ["0001_initial"]
    assert not path.exists()
    assert store.migrate() == ["0001_initial"]
    assert store.migrate() == store.migrate(dry_run=True) == []
    assert levels(store)["format"] == "ok"


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=-400)])
def test_t57_a_clock_that_goes_back_neither_ends_nor_immortalises(path: Path, jump: timedelta) -> None:
    """With the clock set back sessions live on, and their deadlines stay where they were."""
    guard = guard_on(str(path))
    session = guard.create("ana")
    before = guard.get(session.id)
    assert before is not None
    with wrong_clock(jump):
        assert guard.load(session.token) is not None
        guard.touch(session)
        assert guard.sweep().ended == 0
        after = guard.get(session.id)
    assert after is not None
    assert after.expires_at == before.expires_at
    with wrong_clock(timedelta(days=400)):
        assert guard.load(session.token) is None
    guard.close()


def test_inline_answers_are_those_of_the_verbs(store: FileStore, stage: Stage, open_store: OpenStore) -> None:
    """What is answered at once is what the verb would say; what would write or open the folder is not answered."""
    opened = store.get_or_create(stage.get_or_create()).record
    commands: list[c.Command[Any]] = [
        stage.load(opened),
        stage.get(opened),
        stage.get_or_create(),
        c.Identify(),
        stage.load(b"\0no"),
    ]
    for command in commands:
        assert store.answer_inline(command) == command.apply(store)
    late = timedelta(minutes=5)
    others: list[c.Command[Any]] = [
        stage.load(opened, at=late),
        stage.get_or_create(at=late),
        stage.create(),
        stage.page(),
    ]
    for other in others:
        assert store.answer_inline(other) is None
    assert open_store().answer_inline(stage.load(opened)) is None
    store.close()
    with pytest.raises(MisuseError):
        store.answer_inline(stage.load(opened))


def test_the_async_guard_works_over_it(path: Path) -> None:
    """Off-loaded, calls of the async guard work as those of the blocking one."""

    async def use() -> object:
        async with AsyncSessionGuard(FileStore(path), sweep_interval=None) as guard:
            session = await guard.get_or_create("ana", data={"n": 1})
            await guard.save(session, {"n": 2})
            loaded = await guard.load(session.token)
            return loaded and loaded.data["n"]

    assert asyncio.run(use()) == 2


def test_threads_share_one_store(path: Path, sg_profile: Profile) -> None:
    """Saves of many threads to one session all survive, and readers between them always see a whole session."""
    guard = guard_on(str(path))
    session = guard.create("ana")

    def caller(number: int) -> None:
        for turn in range(sg_profile.rounds):
            guard.save(session, {f"field {number}": turn})
            loaded = guard.load(session.token)
            assert loaded is not None
            assert loaded.data[f"field {number}"] == turn

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(caller, range(16)))
    stored = guard.get(session.id)
    assert stored is not None
    assert stored.version == 1 + 16 * sg_profile.rounds
    guard.close()


def test_threads_may_meet_at_first_use(open_store: OpenStore) -> None:
    """Threads whose first calls meet make one store."""
    store, start = open_store(), threading.Barrier(8)

    def caller(_: int) -> str:
        start.wait(10)
        return store.identify(c.Identify())

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(caller, range(8)))) == 1


def test_threads_have_their_turns_in_order(store: FileStore, stage: Stage, open_store: OpenStore) -> None:
    """Whoever queued first writes first, one descriptor is enough for all, and who left the queue is not waited for."""
    opened = store.create(stage.create()).record
    shard, turns, done = shard_of(opened.id), store._shards._turns, list[int]()

    def write(number: int) -> None:
        store.save(stage.save(opened, {"n": number}))
        done.append(number)

    hasty = open_store(patience_seconds=0.05)
    hasty.identify(c.Identify())
    hasty._shards._turns = turns
    threads = []
    with store._shards.changing("hold", {shard}):
        for number in range(8):
            thread = threading.Thread(target=write, args=(number,))
            thread.start()
            threads.append(thread)
            while len(turns._queues[shard]) < number + 2:
                pass
        with pytest.raises(StoreTimeoutError, match="other threads kept writing"):
            hasty.save(stage.save(opened, {"n": -1}))
        journals = [one for one in os.listdir("/proc/self/fd") if _names(one).endswith("/journal")]
        assert len(journals) == 1
    for thread in threads:
        thread.join()
    assert done == list(range(8))
    assert turns._queues == {}


def _names(descriptor: str) -> str:
    path = f"/proc/self/fd/{descriptor}"
    return os.readlink(path) if os.path.lexists(path) else ""


def test_the_last_operations_are_remembered_and_no_others(store: FileStore, stage: Stage) -> None:
    """After many saves the last one is known again, and the file has not grown with their number."""
    opened = store.create(stage.create()).record
    for number in range(2 * REMEMBERED_OPERATIONS):
        command = stage.save(opened, {"n": number})
        saved = store.save(command)
    assert store.save(command) == saved
    row = store._shards.read(shard_of(opened.id), lambda view: row_of(view, opened.id))
    assert row is not None
    assert len(row.operations) == REMEMBERED_OPERATIONS


def test_a_closed_store_says_so(store: FileStore, stage: Stage) -> None:
    """Every call after `close` raises what it is; closing twice is fine, and `distrust` keeps a store usable."""
    store.distrust()
    opened = store.create(stage.create()).record
    store.close()
    store.close()
    for command in (stage.get(opened), stage.save(opened, {"n": 1}), stage.sweep(), stage.page(), c.Identify()):
        with pytest.raises(MisuseError, match="closed"):
            command.apply(store)
    with pytest.raises(MisuseError):
        store.examine()
