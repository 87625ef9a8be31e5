"""Writers that are killed: what they had acknowledged is there, nothing is half done, and no one waits for the dead."""

import random
from collections import Counter
from pathlib import Path

import pytest

from sessionguard.stores.file import FileStore
from sessionguard.testing import Profile
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import ChildProcess, killed_while
from tests.stores.file.inspecting import disorder
from tests.stores.file.workers import Acknowledged, guard_on, stand_in_the_lock, write_and_acknowledge

pytestmark = pytest.mark.processes


def test_t62_a_killed_writer_loses_nothing_it_acknowledged(path: Path, sg_profile: Profile) -> None:
    """After kill -9 at any instant every acknowledged change is stored, each slot has one session, the files agree."""
    for number in range(sg_profile.kills):
        owner = f"owner {number % 3}"
        heard = killed_while(write_and_acknowledge, str(path), owner, seconds=random.uniform(0, 0.1))
        assert_all_there(path, heard)


def assert_all_there(path: Path, acknowledged: list[Acknowledged]) -> None:
    """Every acknowledged number is stored, or a later one of the same writer; another writer needs no wait."""
    guard = guard_on(str(path), patience_seconds=0.5)
    change = acknowledged[-1]
    session = guard.get(change.session_id)
    assert session is not None
    if session.status == "active":
        # Killed after the save of a later number and before its acknowledgement: that one counts as well.
        assert session.data["number"] in (change.number, change.number + 1)
    else:
        # Or after the replacement by the next session of the slot.
        assert (session.reason, (change.number + 1) % 5) == ("replaced", 0)
    assert all(guard.get(one.session_id) is not None for one in acknowledged)
    assert guard.create("survivor").id
    active = Counter(one.owner for one in guard.sessions() if one.owner.startswith("owner"))
    assert set(active.values()) <= {1}
    guard.close()
    assert disorder(path) == []


def test_the_dead_hold_no_lock(path: Path, store: FileStore, stage: Stage) -> None:
    """A writer killed with the lock of a shard is followed by the next one at once."""
    new = stage.new()
    with ChildProcess(stand_in_the_lock, str(path), new.id[:2]) as writer:
        assert writer.hear() == "inside"
        writer.kill()
    assert store.create(stage.create(new)).record.owner == "ana"
