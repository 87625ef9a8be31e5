"""Quotas of owners: all their workspaces together, raced, damaged, and given back."""

import json
import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import pytest

from sessionguard import booting
from sessionguard.errors import InvalidArgumentError, QuotaExceededError, WorkspaceError
from sessionguard.testing import ChildProcess
from sessionguard.workspaces import LocalWorkspaces, OwnerQuota, Quota, Removal, Usage
from sessionguard.workspaces.local import accounts, keeping
from sessionguard.workspaces.local.accounts import Account
from sessionguard.workspaces.local.descriptors import open_directory
from sessionguard.workspaces.local.lines import read_line, write_line
from sessionguard.workspaces.local.owners import Owners

ANA, BEA = "a" * 32, "b" * 32


def owned(key: str = ANA, bytes: int | None = None, files: int | None = None) -> Quota:
    """Give a quota that limits the owner alone."""
    return Quota(owner=OwnerQuota(key, bytes, files))


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Give session ids never seen before."""
    return lambda: secrets.token_hex(17)


def account(root: Path, key: str = ANA) -> Usage | None:
    """Give the sum of an owner's account as it is on the disk; None if there is no account."""
    found = list(root.glob(f"*/.owners/*/{key}"))
    if not found:
        return None
    descriptor = open_directory(str(found[0]))
    try:
        read = Account(descriptor)
        parts = [read.told(session_id) for session_id in read.sessions()]
    finally:
        os.close(descriptor)
    assert read.total == Usage(sum(part.bytes for part in parts), sum(part.files for part in parts))
    return read.total


def entries(ledger: Path) -> dict[str, object]:
    """Give what is in a book."""
    with ledger.open("rb") as file:
        return dict(json.loads(read_line(file.fileno()) or b""))


def enter(ledger: Path, changed: dict[str, object]) -> None:
    """Change what is in a book, as another program might."""
    kept = entries(ledger) | changed
    with ledger.open("r+b") as file:
        write_line(file.fileno(), json.dumps(kept).encode())


def write(workspaces: LocalWorkspaces, session_id: str, name: str, size: int, quota: Quota) -> None:
    """Write one file."""
    with workspaces.lease(session_id, quota) as workspace:
        workspace.write(name, b"x" * size)


def test_an_owner_s_sessions_share_his_quota_and_nobody_else_s(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """The last byte of the owner fits in any of his workspaces, the next in none, and others are not touched."""
    one, two, other = new_id(), new_id(), new_id()
    write(workspaces, one, "a", 60, owned(bytes=100))
    write(workspaces, two, "a", 40, owned(bytes=100))
    for session_id in (one, two, new_id()):
        with pytest.raises(QuotaExceededError) as caught:
            write(workspaces, session_id, "b", 1, owned(bytes=100))
        assert (caught.value.limit, caught.value.used, caught.value.unit) == (100, 101, "bytes")
        assert caught.value.whose == "owner"
        assert "its owner" in str(caught.value)
    write(workspaces, other, "a", 100, owned(BEA, bytes=100))

    with pytest.raises(QuotaExceededError) as caught:
        write(workspaces, one, "b", 1, Quota(bytes=60, owner=OwnerQuota(ANA, 100)))
    assert caught.value.whose == "session"
    assert account(root) == Usage(100, 2)
    with pytest.raises(QuotaExceededError) as caught:
        write(workspaces, new_id(), "a", 0, owned(files=2))
    assert (caught.value.unit, caught.value.used, caught.value.whose) == ("files", 3, "owner")


def test_what_is_written_counts_while_it_arrives(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """An unfinished file of one session takes room from the others, to the byte, and gives it back."""
    with workspaces.lease(new_id(), owned(bytes=1000)) as one, workspaces.lease(new_id(), owned(bytes=1000)) as two:
        file = one.open("a", "wb")
        file.write(b"x" * 400)
        with pytest.raises(QuotaExceededError):
            two.write("a", b"x" * 601)
        two.write("a", b"x" * 600)
        with pytest.raises(QuotaExceededError):
            file.write(b"x")
        two.write("b", b"x" * 400)

        assert one.list() == []
        assert account(root) == Usage(1000, 2)
        two.delete("b")
        # A deletion is found by a recount, also by that of another session.
        one.write("a", b"x" * 400)
        assert account(root) == Usage(1000, 2)


def test_replaced_files_of_other_sessions_are_not_held_against_an_owner(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """Before anybody is refused, the workspaces of the owner that nobody writes are counted."""
    one = new_id()
    for _ in range(20):
        write(workspaces, one, "a", 10, owned(bytes=100))
    write(workspaces, new_id(), "a", 90, owned(bytes=100))
    (ledger,) = root.glob(f"*/??/{one}/private/ledger")
    assert entries(ledger)["bytes"] == 10, "what was counted is in its book, too"


def test_removal_gives_the_share_back_and_leaves_no_account(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """A removed or quarantined session has no share, at once; with the last one the account is gone."""
    one, two = new_id(), new_id()
    write(workspaces, one, "a", 60, owned(bytes=100))
    write(workspaces, two, "a", 40, owned(bytes=100))
    workspaces.remove(one)
    assert account(root) == Usage(40, 1)
    write(workspaces, new_id(), "a", 60, owned(bytes=100))
    assert workspaces.quarantine(two)
    assert account(root) == Usage(60, 1)
    for session_id in workspaces.candidates(10):
        workspaces.remove(session_id)
    assert account(root) is None


def test_a_session_that_was_given_to_another_owner_counts_there(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """From its next write on, all that it holds is in the account of its new owner, and not in the former's."""
    session_id = new_id()
    write(workspaces, session_id, "a", 60, owned(ANA, bytes=100))
    with pytest.raises(QuotaExceededError):
        write(workspaces, session_id, "b", 60, owned(BEA, bytes=100))
    write(workspaces, session_id, "b", 40, owned(BEA, bytes=100))

    assert account(root, ANA) is None
    assert account(root, BEA) == Usage(100, 2)


def test_a_lease_without_a_quota_of_its_owner_is_counted_too(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """What one lease writes without that limit takes room of another that has it."""
    session_id = new_id()
    write(workspaces, session_id, "a", 10, owned(bytes=100))
    write(workspaces, session_id, "b", 90, Quota())

    assert account(root) == Usage(100, 2)
    with pytest.raises(QuotaExceededError):
        write(workspaces, new_id(), "a", 1, owned(bytes=100))


@pytest.mark.parametrize("damage", [None, b"", b"{", b'{"bytes":0,"files":0,"epoch":"another"}\n'])
def test_a_damaged_account_is_counted_from_the_books_of_the_sessions(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str], damage: bytes | None
) -> None:
    """Whatever happened to the sum, or to the entry of a session, the owner gets no byte more than his quota."""
    ids = [new_id() for _ in range(3)]
    for session_id in ids:
        write(workspaces, session_id, "a", 30, owned(bytes=100))
    (folder,) = root.glob(f"*/.owners/*/{ANA}")
    for name in ("total", ids[0]):
        if damage is None:
            (folder / "total").unlink(missing_ok=True)
        else:
            (folder / name).write_bytes(damage)

    with pytest.raises(QuotaExceededError):
        write(workspaces, ids[1], "b", 11, owned(bytes=100))
    write(workspaces, ids[1], "b", 10, owned(bytes=100))
    assert account(root) == Usage(100, 4)


def test_an_account_from_before_a_restart_is_counted_anew(
    workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """After the machine restarted neither the account nor the books are believed."""
    one = new_id()
    write(workspaces, one, "a", 90, owned(bytes=100))
    with (
        mock.patch.object(booting, "this_boot", return_value=b"another boot id."),
        pytest.raises(QuotaExceededError) as caught,
    ):
        write(workspaces, new_id(), "a", 11, owned(bytes=100))
    assert caught.value.used == 101


def test_what_a_crash_left_in_an_account_is_given_back(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """A session whose directory went without its share is found by the next pass, and by who would be refused."""
    one, two = new_id(), new_id()
    for session_id in (one, two):
        write(workspaces, session_id, "a", 50, owned(bytes=100))
    with mock.patch("sessionguard.workspaces.local.owners.Owners.leave_for_good"):
        workspaces.remove(one)
    assert account(root) == Usage(100, 2)
    write(workspaces, two, "b", 50, owned(bytes=100))
    with mock.patch("sessionguard.workspaces.local.owners.Owners.leave_for_good"):
        workspaces.remove(two)
    workspaces.candidates(10)
    assert account(root) is None


def test_a_session_that_changed_hands_while_its_account_could_not_be_written_counts_once(
    workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """Whom a book names has its bytes, whoever's account still does."""
    moved, other = new_id(), new_id()
    write(workspaces, moved, "a", 60, owned(ANA, bytes=100))
    with mock.patch.object(Owners, "leave"):
        write(workspaces, moved, "b", 1, owned(BEA, bytes=100))
    write(workspaces, other, "a", 100, owned(ANA, bytes=100))
    with pytest.raises(QuotaExceededError):
        write(workspaces, new_id(), "a", 40, owned(BEA, bytes=100))


@pytest.mark.parametrize("owner", ["../../../escaped", "a" * 31, "A" * 32, 7])
def test_a_book_that_names_no_owner_is_counted_anew(
    root: Path, workspaces: LocalWorkspaces, session_id: str, owner: object
) -> None:
    """What another program put there becomes no part of a path, and nobody is kept from his files by it."""
    write(workspaces, session_id, "a", 60, owned(bytes=100))
    (ledger,) = root.glob("*/??/*/private/ledger")
    enter(ledger, {"owner": owner, "bytes": 1})
    write(workspaces, session_id, "b", 10, Quota(bytes=70))
    with pytest.raises(QuotaExceededError):
        write(workspaces, session_id, "c", 1, Quota(bytes=70))
    enter(ledger, {"owner": owner})
    assert workspaces.remove(session_id) == Removal(2, 70, deferred=False)
    assert not list(root.parent.rglob("escaped"))
    assert not list(root.glob("*/.owners/A*"))


@pytest.mark.parametrize("is_directory", [True, False])
def test_a_session_without_a_book_is_removed(
    root: Path, workspaces: LocalWorkspaces, session_id: str, is_directory: bool
) -> None:
    """Its share is found by the next pass."""
    write(workspaces, session_id, "a", 60, owned(bytes=100))
    (ledger,) = root.glob("*/??/*/private/ledger")
    ledger.unlink()
    if is_directory:
        ledger.mkdir()
    assert workspaces.remove(session_id) == Removal(1, 60, deferred=False)
    workspaces.candidates(10)
    assert account(root) is None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), WorkspaceError("0" * 34, "busy")])
def test_what_is_done_stays_done_where_the_account_cannot_be_written(
    root: Path, workspaces: LocalWorkspaces, session_id: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was published or removed is so, the log says what is wrong, and the next count mends it."""
    write(workspaces, session_id, "a", 60, owned(bytes=100))
    with mock.patch.object(Account, "tell", side_effect=error), workspaces.lease(session_id, Quota()) as workspace:
        workspace.write("b", b"x" * 40)
        assert workspace.list() == ["a", "b"]
    assert "out of date" in caplog.text
    with pytest.raises(QuotaExceededError):
        write(workspaces, session_id, "c", 1, owned(bytes=100))
    assert account(root) == Usage(100, 2)

    caplog.clear()
    with mock.patch.object(Account, "drop", side_effect=error):
        assert workspaces.remove(session_id).files == 2
    assert "out of date" in caplog.text
    workspaces.candidates(10)
    assert account(root) is None


def test_an_account_whose_entry_cannot_be_made_refuses(workspaces: LocalWorkspaces, session_id: str) -> None:
    """What was not entered is not granted."""
    with (
        mock.patch.object(Account, "tell", side_effect=FileNotFoundError("gone")),
        pytest.raises(FileNotFoundError),
    ):
        write(workspaces, session_id, "a", 1, owned(bytes=100))


def test_a_pass_forgets_the_gone_alone_in_steps_and_waits_for_nobody(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """The living keep their share, an account in use is left for the next pass, and each pass does a bounded part."""
    keys, living = [f"{number:02x}" * 16 for number in (1, 1, 2, 3)], new_id()
    keys[1] = "01" * 15 + "ff"
    write(workspaces, living, "a", 50, owned(keys[0], bytes=100))
    for key in keys:
        for _ in range(2):
            gone = new_id()
            write(workspaces, gone, "a", 10, owned(key, bytes=100))
            with mock.patch.object(Owners, "leave_for_good"):
                workspaces.remove(gone)

    def left() -> int:
        return len([path for path in root.glob("*/.owners/*/*/*") if path.name not in ("total", living)])

    (busy,) = root.glob(f"*/.owners/*/{keys[3]}")
    descriptor = os.open(busy, os.O_RDONLY)
    assert keeping.lock(descriptor)
    assert left() == 8
    owners = workspaces._opened()[1]
    owners.forget_the_gone(3)
    assert left() in (4, 6)
    owners.forget_the_gone(100)
    assert left() == 2
    os.close(descriptor)
    owners.forget_the_gone(100)
    assert left() == 0
    assert account(root, keys[0]) == Usage(50, 1)
    assert [path.name for path in root.glob("*/.owners/*/*")] == [keys[0]]


def test_what_stands_in_the_way_of_a_count_is_passed_over(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """A session whose directories are no directories, or are gone, keeps the share that it was told to have."""
    one, two = new_id(), new_id()
    for session_id in (one, two):
        write(workspaces, session_id, "a", 30, owned(bytes=100))
    (folder,) = root.glob(f"*/.owners/*/{ANA}")
    folder.with_name(f"{ANA}.aside-00").write_text("no folder")
    (private,) = root.glob(f"*/??/{one}/private")
    private.rename(private.with_name("away"))
    private.write_text("no directory")
    (private,) = root.glob(f"*/??/{two}/private")
    private.rename(private.with_name("away"))
    for size, fits in ((41, False), (40, True), (1, False)):
        if fits:
            write(workspaces, new_id(), "a", size, owned(bytes=100))
        else:
            with pytest.raises(QuotaExceededError):
                write(workspaces, new_id(), "a", size, owned(bytes=100))


def test_the_share_of_one_who_is_just_writing_is_what_he_was_given(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """While a ledger is kept, or files have yet to get their names, its book is not believed."""
    one, late = new_id(), new_id()
    for session_id in (one, late):
        write(workspaces, session_id, "a", 30, owned(bytes=100))
    for session_id in (one, late):
        (ledger,) = root.glob(f"*/??/{session_id}/private/ledger")
        enter(ledger, {"bytes": 0, "epoch": "x"})
        (ledger.parents[1] / "files" / "a").unlink()
    (ledger.parent / "publish-00").mkdir()
    (kept,) = root.glob(f"*/??/{one}/private/ledger")
    descriptor = os.open(kept, os.O_RDONLY)
    assert keeping.lock(descriptor)
    with pytest.raises(QuotaExceededError) as caught:
        write(workspaces, new_id(), "a", 41, owned(bytes=100))
    assert caught.value.used == 101
    os.close(descriptor)
    (ledger.parent / "publish-00").rmdir()
    write(workspaces, new_id(), "a", 100, owned(bytes=100))


def test_what_fits_is_granted_without_a_count_and_with_a_small_share_to_spare(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """A writer claims ahead at most a 64th of what the owner has left, his own part counted as it is now."""
    owners, quota = workspaces._opened()[1], OwnerQuota(ANA, bytes=6400)
    other = "0" * 34

    def admit(own: int, more: int, wanted: int, session: str = session_id) -> int | None:
        return owners.admit(quota, session, Usage(own, 1), Usage(more, 0), wanted, lambda: None)

    with mock.patch.object(owners, "_recount", wraps=owners._recount) as counted:
        assert admit(0, 1600, 1600, other) == 1600
        assert counted.call_count == 1, "a new account has to be counted"
        assert admit(3200, 10, 1000) == 25
        assert admit(3200, 10, 20) == 20
        assert admit(1600, 100, 1000) == 100
        assert admit(1600, 3201, 4000) is None
        assert admit(1600, 3200, 4000) == 3200
        assert counted.call_count == 1


@pytest.mark.parametrize("size, more", [(50, 0), (150, 0), (50, 20), (150, 20)])
def test_t54_an_account_says_too_much_after_a_crash_and_never_too_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, more: int
) -> None:
    """At whatever write its keeper dies; and who has a part of it is on the disk before he is granted anything."""
    folder, one, two = open_directory(str(tmp_path)), "1" * 34, "2" * 34
    real, told = accounts._write, list[str]()
    monkeypatch.setattr(os, "fsync", lambda descriptor: told.append("flush"))
    for fatal in range(1, 8):
        Account(folder).replace({one: Usage(100, 1), two: Usage(0, 0)})
        left = [fatal]

        def dying(name: str, folder: int, usage: Usage, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            told.append(name)
            real(name, folder, usage)

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(accounts, "_write", dying)
            Account(folder).tell(one, Usage(size, 1))
            if more:
                Account(folder).tell(two, Usage(more, 0))
        found = Account(folder)
        assert found.total.bytes >= found.told(one).bytes + found.told(two).bytes
        if left[0] > 0:
            break
    assert fatal > 2
    assert found.total == Usage(size + more, 1)

    told.clear()

    def telling(name: str, folder: int, usage: Usage) -> None:
        told.append(name)
        real(name, folder, usage)

    monkeypatch.setattr(accounts, "_write", telling)
    Account(folder).tell("3" * 34, Usage(5, 1))
    Account(folder).tell("3" * 34, Usage(4, 1))
    assert told == ["total", "3" * 34, "flush", "3" * 34, "total"]
    told.clear()
    Account(folder).replace({one: Usage(1, 1)})
    assert told == [one, "flush", "total"]
    os.close(folder)


def fill(line: Connection, workspaces: LocalWorkspaces, session_ids: list[str]) -> None:
    """Write to several sessions of one owner until all is full, and say how much was taken."""
    line.recv()
    taken = 0
    with ExitStack() as stack:
        leases = [stack.enter_context(workspaces.lease(each, owned(bytes=50_000, files=45))) for each in session_ids]
        try:
            for number in range(1000):
                with leases[number % len(leases)].open(f"{os.getpid()}-{number}", "wb") as file:
                    for _ in range(4):
                        file.write(b"x" * 250)
                taken += 1
        except QuotaExceededError:
            line.send(taken)


@pytest.mark.processes
def test_processes_and_sessions_of_one_owner_race(
    root: Path, workspaces: LocalWorkspaces, new_id: Callable[[], str]
) -> None:
    """Writers of one owner fill his quota and never exceed it; one who is killed leaves nothing that heals not."""
    shared = new_id()
    with ExitStack() as stack:
        starts = [ChildProcess(fill, workspaces, [shared, new_id()], start="fork") for _ in range(4)]
        children = [stack.enter_context(child) for child in starts]
        for child in children:
            child.tell()
        children[0].kill()
        taken = sum(child.hear() for child in children[1:])
    on_disk = [path for path in root.glob("*/??/*/files/*") if path.is_file()]
    assert taken <= len(on_disk) <= 45
    # Each may stop the others short of the last files, as each counts what it is just writing.
    for number in range(45 - len(on_disk)):
        write(workspaces, shared, f"rest-{number}", 1000, owned(bytes=50_000, files=45))
    with pytest.raises(QuotaExceededError):
        write(workspaces, new_id(), "more", 0, owned(files=45))


@pytest.mark.parametrize("key", ["", "../x", "A" * 32, "a" * 31, "a" * 65, "a" * 32 + "\n", None])
def test_a_key_is_a_hash(workspaces: LocalWorkspaces, session_id: str, key: object) -> None:
    """What could name another folder is refused before anything is made of it."""
    with pytest.raises(InvalidArgumentError, match=r"OwnerQuota\.key"):
        workspaces.lease(session_id, Quota(owner=OwnerQuota(key)))  # type: ignore[arg-type]


def test_the_book_says_whose_it_is(root: Path, workspaces: LocalWorkspaces, session_id: str) -> None:
    """The ledger names the owner by the key only."""
    write(workspaces, session_id, "a", 1, owned())
    (ledger,) = root.glob("*/??/*/private/ledger")
    assert entries(ledger)["owner"] == ANA
