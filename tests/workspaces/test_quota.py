"""Quotas: counted while bytes arrive, over threads and processes, healed after a crash."""

import gc
import os
import threading
from collections import deque
from contextlib import ExitStack
from multiprocessing.connection import Connection
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionguard import booting
from sessionguard.core.commands import Fence
from sessionguard.errors import LockLostError, QuotaExceededError, WorkspaceError
from sessionguard.testing import ChildProcess
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Quota, Usage
from sessionguard.workspaces.local import keeping, pages
from sessionguard.workspaces.local.book import LARGEST_STEP_BYTES, STEP_BYTES, Book, Claim
from sessionguard.workspaces.local.descriptors import is_still_named
from tests.workspaces.conftest import UNLIMITED

MIB = 1024 * 1024


def size_on_disk(workspace: LocalWorkspace) -> int:
    """Give the bytes of all files, finished or not, as the disk sees them."""
    place = workspace.path.parent
    return sum(path.lstat().st_size for path in place.rglob("*") if path.is_file() and path.name != "ledger")


def test_bytes_are_counted_while_they_arrive(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A stream is stopped at the byte that does not fit, and what came before is off the disk at once."""
    with workspaces.lease(session_id, Quota(bytes=1000, files=None)) as workspace:
        file = workspace.open("a", "wb")
        file.write(b"x" * 999)
        file.write(b"x")
        with pytest.raises(QuotaExceededError):
            file.write(b"x")
        assert size_on_disk(workspace) == 0
        file.close()

        assert workspace.list() == []
        workspace.write("b", b"x" * 1000)


def test_a_forgotten_file_gives_its_room_back(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Nobody is refused because of a file that its writer, who still lives, dropped without closing."""
    with workspaces.lease(session_id, Quota(bytes=1000, files=1)) as workspace:
        for _ in range(3):
            file = workspace.open("a", "wb")
            file.write(b"x" * 900)
            del file
            gc.collect()
        workspace.write("a", b"x" * 1000)
        assert workspace.usage() == Usage(1000, 1)
        assert size_on_disk(workspace) == 1000


def test_a_hole_is_counted_as_bytes(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Neither seeking past the end nor `truncate` makes a file larger than the quota."""
    with workspaces.lease(session_id, Quota(bytes=1000, files=None)) as workspace:
        for grow in (lambda file: (file.seek(1000), file.write(b"x")), lambda file: file.truncate(1001)):
            with pytest.raises(QuotaExceededError), workspace.open("a", "wb") as file:
                grow(file)
        with workspace.open("a", "wb") as file:
            file.truncate(1000)

        assert workspace.usage() == Usage(1000, 1)


def test_a_text_file_meets_the_quota_at_its_end_at_the_latest(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Text that was still buffered is counted when the file is closed, which then publishes nothing."""
    with workspaces.lease(session_id, Quota(bytes=10, files=None)) as workspace:
        file = workspace.open("a", "w")
        file.write("x" * 11)
        with pytest.raises(QuotaExceededError):
            file.close()

        assert workspace.list() == []
        assert size_on_disk(workspace) == 0


def test_a_small_writer_is_not_refused_for_what_others_reserve_to_spare(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """Reserving ahead never takes the last room: many idle writers leave place for one more."""
    with workspaces.lease(session_id, Quota(bytes=2 * MIB, files=None)) as workspace:
        idle = [workspace.open(str(number), "wb") for number in range(10)]
        for file in idle:
            file.write(b"x")
        workspace.write("late", b"x" * MIB)

        assert workspace.usage() == Usage(MIB, 1)


def test_each_lease_has_its_own_quota(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Two leases on one workspace share the account and obey each its own limit."""
    with workspaces.lease(session_id, UNLIMITED) as free, workspaces.lease(session_id, Quota(100, None)) as bound:
        free.write("a", b"x" * 200)
        with pytest.raises(QuotaExceededError):
            bound.write("b", b"1")
        free.write("a", b"x" * 99)
        bound.write("b", b"1")


def test_files_of_other_programs_count_once_seen(workspaces: LocalWorkspaces, session_id: str) -> None:
    """`usage` counts what other programs put there, and from then on it takes room."""
    with workspaces.lease(session_id, Quota(bytes=100, files=None)) as workspace:
        workspace.write("a", b"x" * 40)
        (workspace.path / "theirs").write_bytes(b"y" * 50)
        assert workspace.usage() == Usage(90, 2)
        with pytest.raises(QuotaExceededError):
            workspace.write("b", b"x" * 11)
        workspace.write("b", b"x" * 10)


def test_deleting_a_file_of_another_program_grants_nothing(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Removing a file that was never counted does not make our own bytes fit twice."""
    with workspaces.lease(session_id, Quota(bytes=100, files=None)) as workspace:
        workspace.write("a", b"x" * 90)
        (workspace.path / "theirs").write_bytes(b"y" * 50)
        workspace.delete("theirs")

        with pytest.raises(QuotaExceededError):
            workspace.write("b", b"x" * 11)


def test_quota_race_of_threads(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Threads that write at once fill the quota exactly, and the disk never holds more."""
    with workspaces.lease(session_id, Quota(bytes=10_000, files=None)) as workspace:
        barrier = threading.Barrier(8)
        taken: list[str] = []
        most: list[int] = []

        def write(number: int) -> None:
            barrier.wait()
            for round_ in range(4):
                name = f"{number}-{round_}"
                try:
                    with workspace.open(name, "wb") as file:
                        for _ in range(10):
                            file.write(b"x" * 100)
                        most.append(size_on_disk(workspace))
                except (QuotaExceededError, FileNotFoundError):
                    continue
                taken.append(name)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert max(most) <= 10_000
        assert workspace.list() == sorted(taken)
        # At least one: all may have stopped each other short of the last file, none may exceed.
        assert 1 <= len(taken) <= 10
        for number in range(10 - len(taken)):
            workspace.write(f"rest-{number}", b"x" * 1000)
        with pytest.raises(QuotaExceededError):
            workspace.write("more", b"x")


def write_until_full(line: Connection, number: int, workspaces: LocalWorkspaces, session_id: str) -> None:
    """Write files until one is refused, and say how many were taken."""
    with workspaces.lease(session_id, Quota(bytes=50_000, files=45)) as workspace:
        line.recv()
        taken = 0
        try:
            while True:
                workspace.write(f"{number}/{taken}", b"x" * 1000)
                taken += 1
        except QuotaExceededError:
            line.send(taken)


@pytest.mark.processes
def test_quota_race_of_processes(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Processes that write at once get exactly as many files together as the quota allows."""
    with ExitStack() as stack:
        starts = (ChildProcess(write_until_full, number, workspaces, session_id, start="fork") for number in range(4))
        processes = [stack.enter_context(child) for child in starts]
        for process in processes:
            process.tell()
        taken = [process.hear() for process in processes]

    assert sum(taken) == 45
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.usage() == Usage(bytes=45_000, files=45)


def write_and_wait(line: Connection, workspaces: LocalWorkspaces, session_id: str) -> None:
    """Hold a large unfinished file until killed."""
    with workspaces.lease(session_id, Quota(bytes=1000, files=2)) as workspace:
        workspace.write("old", b"o" * 100)
        with workspace.open("old", "wb") as file:
            file.write(b"n" * 800)
            line.send("written")
            line.recv()


def test_the_quota_heals_after_a_kill(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A killed writer leaves the old file; its room is taken while it lives and free once it is dead."""
    with (
        ChildProcess(write_and_wait, workspaces, session_id, start="fork") as writer,
        workspaces.lease(session_id, Quota(1000, 2)) as workspace,
    ):
        writer.hear()
        with pytest.raises(QuotaExceededError):
            workspace.write("new", b"x" * 101)
        assert size_on_disk(workspace) == 900
        writer.kill()

        assert workspace.read("old") == b"o" * 100
        workspace.write("new", b"x" * 900)
        assert size_on_disk(workspace) == 1000
        assert os.listdir(workspace.path.parent / "private") == ["ledger"]


def test_leftovers_go_before_the_quota_is_full(workspaces: LocalWorkspaces, session_id: str) -> None:
    """The first write of the next lease removes what a killed writer left."""
    with ChildProcess(write_and_wait, workspaces, session_id, start="fork") as writer:
        writer.hear()
        writer.kill()
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert len(os.listdir(workspace.path.parent / "private")) == 2
        workspace.write("a", b"1")
        assert os.listdir(workspace.path.parent / "private") == ["ledger"]


@pytest.mark.parametrize("damage", [b"", b"{", b"null\n", b"[]\n", b'{"format":1}\n', b"\0" * 100, b'{"format":99}\n'])
def test_a_damaged_ledger_is_counted_anew(workspaces: LocalWorkspaces, session_id: str, damage: bytes) -> None:
    """A ledger that cannot be read is replaced by a count, in which living writers keep their room."""
    with workspaces.lease(session_id, Quota(bytes=3 * MIB, files=None)) as workspace:
        workspace.write("a", b"x" * MIB)
        file = workspace.open("b", "wb")
        file.write(b"y" * (MIB // 2))
        (workspace.path.parent / "private" / "ledger").write_bytes(damage)
        with pytest.raises(QuotaExceededError):
            workspace.write("c", b"z" * (MIB * 3 // 2 + 1))
        file.close()

        assert workspace.usage() == Usage(MIB * 3 // 2, 2)


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 100])
def test_a_damaged_ledger_refuses_all_whose_fences_it_forgot(
    workspaces: LocalWorkspaces, session_id: str, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Who of those came last is not known any more; whoever takes the lock now goes on, and the log says so."""
    with (
        workspaces.lease(session_id, UNLIMITED, Fence("a", 1)) as stale,
        workspaces.lease(session_id, UNLIMITED, Fence("a", 2)) as holder,
    ):
        (stale.path.parent / "private" / "ledger").write_bytes(damage)
        for workspace in (stale, holder):
            with pytest.raises(LockLostError):
                workspace.write("a", b"1")
        with workspaces.lease(session_id, UNLIMITED, Fence("a", 3)) as workspace:
            workspace.write("a", b"2")
            assert workspace.list() == ["a"]
    assert ("was damaged" in caplog.text) == bool(damage)


def test_more_locks_than_a_ledger_holds_are_refused(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of those before is forgotten for them: whoever lost one is refused as ever."""
    monkeypatch.setattr(pages, "LARGEST_TEXT_BYTES", 500)
    stale = workspaces.lease(session_id, UNLIMITED, Fence("first", 1))
    fences = (Fence(f"lock {number}", 1) for number in range(100))
    with pytest.raises(WorkspaceError, match=r"more than \d+ locks; use fewer names"):
        deque((workspaces.lease(session_id, UNLIMITED, fence) for fence in fences), maxlen=1)
    workspaces.lease(session_id, UNLIMITED, Fence("first", 2)).close()
    with stale, pytest.raises(LockLostError):
        stale.write("a", b"1")


def test_a_ledger_from_before_a_restart_is_counted_anew(workspaces: LocalWorkspaces, session_id: str) -> None:
    """After the machine restarted the ledger is not believed: it may be older than the files."""
    with workspaces.lease(session_id, Quota(bytes=100, files=None)) as workspace:
        workspace.write("a", b"x" * 10)
        stale = (workspace.path.parent / "private" / "ledger").read_bytes()
        workspace.write("b", b"x" * 80)
        (workspace.path.parent / "private" / "ledger").write_bytes(stale)
        with (
            mock.patch.object(booting, "this_boot", return_value=b"another boot id."),
            pytest.raises(QuotaExceededError),
        ):
            workspace.write("c", b"x" * 11)


def test_a_replaced_ledger_does_not_make_two_holders(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Whoever has locked a ledger file that lost its name locks the new one instead."""
    with workspaces.lease(session_id, Quota(bytes=100, files=None)) as workspace:
        workspace.write("a", b"x" * 60)
        real = is_still_named
        path = workspace.path.parent / "private" / "ledger"
        calls: list[bool] = []

        def replaced_once(name: str, parent: int, descriptor: int) -> bool:
            if not calls:
                path.unlink()
                path.write_bytes(b"")
            calls.append(real(name, parent, descriptor))
            return calls[-1]

        with mock.patch.object(keeping, "is_still_named", replaced_once), pytest.raises(QuotaExceededError):
            workspace.write("b", b"x" * 41)
        assert calls[:2] == [False, True]


claims = st.dictionaries(
    st.just("a") | st.text(max_size=5), st.builds(Claim, st.integers(0, 2**40), st.integers(0, 1)), max_size=4
)
books = st.builds(
    Book,
    st.text(max_size=8),
    st.integers(0, 2**50),
    st.integers(0, 10**6),
    claims,
    st.dictionaries(st.text(max_size=5), st.integers(0, 2**40), max_size=2),
    st.sampled_from(["", "a" * 32]),
    st.sampled_from(["", "gone", "write-00"]),
    st.sampled_from(["", "0f"]),
)


@given(book=books)
def test_a_book_is_read_as_it_was_written(book: Book) -> None:
    """The text of a book gives the same book, and is one line."""
    assert Book.read(book.text(), book.epoch) == book
    assert b"\n" not in book.text()
    assert Book.read(book.text()[:-2], book.epoch) is None
    assert Book.read(book.text(), book.epoch + "x") is None


@given(book=books, limit=st.integers(0, 2**42), need=st.integers(1, 2**41))
def test_a_step_covers_the_need_and_fits(book: Book, limit: int, need: int) -> None:
    """What is granted is at least what is needed, at most what fits, and spare only by a small share of the room."""
    quota = Quota(bytes=limit)
    if book.has_room(quota, Usage(need, 0)):
        granted = book.step(quota, need, "a")
        assert granted >= need
        assert book.has_room(quota, Usage(granted, 0))
        claimed = book.claims["a"].bytes if "a" in book.claims else 0
        assert granted <= max(need, STEP_BYTES, min(LARGEST_STEP_BYTES, claimed))
        room = limit - book.spoken_for().bytes
        assert granted == need or granted <= room / 64
    assert book.step(Quota(), need, "a") >= need
