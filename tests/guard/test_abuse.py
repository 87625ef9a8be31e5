"""What strangers can do in masses: it leaves no rows, no directories, no memory."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sessionguard import SessionGuard
from sessionguard.testing import Profile
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore


@pytest.fixture
def amount(sg_profile: Profile) -> int:
    """How often a stranger tries."""
    return 100_000 if sg_profile.name == "deep" else 2_000


def rows(guard: SessionGuard) -> int:
    """Give how many sessions the store knows, active and ended."""
    return len(list(guard.sessions(status=None)))


def grown_blocks(call: Callable[[int], object], times: int) -> int:
    """Give how many more blocks of memory are held after many calls than after a few."""
    for number in range(50):
        call(number)
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(times):
        call(number)
    gc.collect()
    return sys.getallocatedblocks() - before


def test_t26_unknown_tokens_leave_nothing(open_guard: OpenGuard, store: WatchedStore, work: Path, amount: int) -> None:
    """However many tokens are tried: no row, no directory, and memory stays flat."""
    guard = open_guard(workspaces=work)
    guard.create("ada")

    def attempt(number: int) -> None:
        assert guard.load(f"sg1_0_{number:045x}") is None
        store.forget()

    assert grown_blocks(attempt, amount) < amount / 2
    assert rows(guard) == 1
    assert not list(work.glob("*/??/*"))


def test_t26_ending_what_has_ended_leaves_nothing(
    open_guard: OpenGuard, store: WatchedStore, work: Path, amount: int
) -> None:
    """Logging out again and again is as good as once."""
    guard = open_guard(workspaces=work)
    session = guard.create("ada")
    guard.end(session)

    def attempt(number: int) -> None:
        assert guard.end(session) is None
        store.forget()

    assert grown_blocks(attempt, amount) < amount / 2
    assert rows(guard) == 1
    assert not list(work.glob("*/??/*"))


def test_t26_requests_without_a_token_ask_nothing(guard: SessionGuard, store: WatchedStore, amount: int) -> None:
    """A visitor without a cookie costs no question and leaves no row."""
    guard.create("ada")
    store.forget()
    for _ in range(amount):
        assert guard.load(None) is None
    assert store.asked == []
    assert rows(guard) == 1


def test_t27_nothing_is_kept_under_an_empty_key(open_guard: OpenGuard, store: WatchedStore, work: Path) -> None:
    """Through a whole life no id, owner, scope or external id is ever empty, and no directory nameless."""
    guard = open_guard(workspaces=work)
    sessions = [guard.create(), guard.create("ada"), guard.get_or_create("ada"), guard.replace("ada", external_id="x")]
    for session in sessions:
        with guard.workspace(session) as files:
            files.write("a", b"1")
        guard.save(session, {"a": 1})
        guard.save(session, remove=["a"])
    guard.rotate(sessions[0], owner="bob")
    guard.end(sessions[1])
    guard.end_owner("ada")
    guard.purge()
    kept = list(guard.sessions(status=None))
    assert len(kept) == 4
    assert all(session.id and session.owner and session.scope and session.external_id != "" for session in kept)
    assert all(len(path.name) == 34 for path in work.glob("*/??/*"))
    for command in store.asked:
        named = [getattr(command, name, "-") for name in ("session_id", "owner", "scope", "external_id", "name")]
        assert "" not in named
