"""Owners whose sessions lie in several shards: those that were opened by a visitor without a name."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of
from sessionguard.errors import StoreTimeoutError
from sessionguard.stores.file import FileStore
from sessionguard.stores.file.sessions import finish, row_of
from sessionguard.testing import Profile
from sessionguard.testing.contracts.stage import SECOND, START, Stage
from tests.stores.file.conftest import OpenStore
from tests.stores.file.inspecting import disorder


def spread(store: FileStore, stage: Stage, count: int = 12) -> list[SessionRecord]:
    """Give sessions of ana, one of which was always hers; newest first."""
    mine = [store.get_or_create(stage.get_or_create("ana")).record]
    for number in range(1, count):
        visitor = store.create(stage.create(f"visitor {number}", at=number * SECOND)).record
        rotated = store.rotate(stage.rotate(visitor, owner="ana", at=number * SECOND)).record
        assert rotated is not None
        mine.insert(0, rotated)
    assert len({shard_of(record.id) for record in mine}) > 3
    return mine


def test_all_sessions_of_an_owner_are_listed_and_ended(path: Path, store: FileStore, stage: Stage) -> None:
    """Wherever they lie, they are listed newest first, page by page, and end together; the answer is remembered."""
    mine = spread(store, stage)
    listed, cursor = list[SessionRecord](), None
    while True:
        page = store.page(stage.page(owner="ana", limit=5, cursor=cursor, at=20 * SECOND))
        listed += page.records
        cursor = page.cursor
        if cursor is None:
            break
    assert listed == mine
    command = stage.end_owner("ana", keep=mine[3], at=20 * SECOND)
    ended = store.end_owner(command)
    assert {record.id for record in ended.records} == {record.id for record in mine} - {mine[3].id}
    assert store.end_owner(command) == ended
    assert store.load(stage.load(mine[3], at=20 * SECOND)).record == mine[3]
    assert store.page(stage.page(owner="visitor 1", status=None)).records == ()
    assert disorder(path) == []


def test_no_login_slips_through_an_end_of_all(
    store: FileStore, stage: Stage, open_store: OpenStore, sg_profile: Profile
) -> None:
    """A visitor who becomes the owner before the end of all is seen to end ends, too, or was after it in every way.

    Whoever is told of the login before another asks for the end of all never survives that.
    """
    other = open_store()
    for _ in range(sg_profile.rounds * 5):
        visitors = [store.create(stage.create(f"visitor {number}")).record for number in range(4)]
        with ThreadPoolExecutor(5) as threads:
            rotations = [
                threads.submit((store, other)[n % 2].rotate, stage.rotate(one, owner="ana"))
                for n, one in enumerate(visitors)
            ]
            ends = threads.submit(other.end_owner, stage.end_owner("ana"))
            ended = {record.id for record in ends.result().records}
        assert all(rotation.result().record is not None for rotation in rotations)
        rest = store.end_owner(stage.end_owner("ana")).records
        assert {record.id for record in rest} == {one.id for one in visitors} - ended


def test_no_session_is_given_to_an_owner_whose_sessions_are_being_ended(
    store: FileStore, stage: Stage, open_store: OpenStore
) -> None:
    """While the home shard of an owner is locked, a visitor in another shard cannot become that owner."""
    hasty, home = open_store(patience_seconds=0.1), shard_of(stage.new("ana").id)
    names = (f"visitor {number}" for number in range(100))
    new = next(one for one in map(stage.new, names) if shard_of(one.id) != home)
    visitor = store.create(stage.create(new)).record
    with store._shards.changing("end_owner", {home}), pytest.raises(StoreTimeoutError):
        hasty.rotate(stage.rotate(visitor, owner="ana"))
    assert hasty.rotate(stage.rotate(visitor, owner="ana")).record is not None


def test_an_end_of_all_that_stopped_between_shards_is_finished_by_its_repetition(
    store: FileStore, stage: Stage, path: Path
) -> None:
    """The same command again ends the rest, and tells of all that it ended, at both times."""
    mine = spread(store, stage, 5)
    command = stage.end_owner("ana", at=20 * SECOND)
    home = shard_of(mine[-1].id)
    foreign = [record for record in mine if shard_of(record.id) != home]
    # As the death of a process leaves it: a foreign shard is done, the home shard with its log is not.
    with store._shards.changing("end", {shard_of(foreign[0].id)}) as locked:
        desk = locked[shard_of(foreign[0].id)].desk
        row = row_of(desk, foreign[0].id)
        assert row is not None
        finish(desk, row, "revoked", stage.us(20 * SECOND), command.operation_id)
        locked[desk.shard].commit()
    ended = store.end_owner(command)
    assert {record.id for record in ended.records} == {record.id for record in mine}
    assert disorder(path) == []


def test_slots_of_those_who_left_them_are_forgotten(path: Path, store: FileStore, stage: Stage) -> None:
    """A visitor's slot that was left for an owner keeps nothing, and its generation stays used."""
    visitor = store.get_or_create(stage.get_or_create("visitor")).record
    store.rotate(stage.rotate(visitor, owner="ana"))
    assert list(path.glob("??/slots/*")) == []
    again = store.get_or_create(stage.get_or_create("visitor", at=START)).record
    assert again.generation > visitor.generation
