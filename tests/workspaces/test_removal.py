"""Removal: everything of one session, nothing of another, whatever happens meanwhile."""

import functools
import os
import random
import resource
import secrets
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sessionguard.errors import LeaseLostError, MisuseError, WorkspaceError
from sessionguard.testing import DEEP, ChildProcess, Profile
from sessionguard.workspaces import LocalWorkspaces, Quota, Removal
from sessionguard.workspaces.local import cleanup, emptying, leases
from sessionguard.workspaces.local.descriptors import look, names_in
from sessionguard.workspaces.local.emptying import Freed
from tests.workspaces.conftest import UNLIMITED

NOTHING = Removal(files=0, bytes=0, deferred=False)


def fill(workspaces: LocalWorkspaces, session_id: str, **files: bytes) -> Path:
    """Write files into a workspace and give its directory."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        for name, content in files.items():
            workspace.write(name, content)
        return workspace.path.parent


def test_removal_reports_what_is_gone(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Removal tells files and bytes, leaves nothing, and a second one has nothing to do."""
    place = fill(workspaces, session_id, a=b"123", b=b"45")
    (place / "files" / "sub").mkdir()
    (place / "files" / "sub" / "c").write_bytes(b"6")

    assert workspaces.remove(session_id) == Removal(files=3, bytes=6, deferred=False)
    assert workspaces.remove(session_id) == NOTHING
    assert not place.exists()
    assert list((place.parent.parent / ".trash").iterdir()) == []


def test_removal_of_what_never_was(root: Path, workspaces: LocalWorkspaces, session_id: str) -> None:
    """Removing a session without a workspace does nothing and makes nothing."""
    before = sorted(root.rglob("*"))

    assert workspaces.remove(session_id) == NOTHING
    assert sorted(root.rglob("*")) == before


def test_unfinished_files_of_the_dead_go_along(workspaces: LocalWorkspaces, session_id: str) -> None:
    """What a killed writer left is removed and counted with the rest."""
    place = fill(workspaces, session_id, a=b"123")
    (place / "private" / "write-0123").write_bytes(b"4567")

    assert workspaces.remove(session_id) == Removal(files=2, bytes=7, deferred=False)


def test_t53_twins_and_siblings_stay(root: Path, workspaces: LocalWorkspaces) -> None:
    """Only the very session is removed: not its neighbours, not those whose ids look alike."""
    first = "1" * 34
    others = ["1" * 33 + "0", "1" * 33 + "2", "0" + "1" * 33, "2" + "1" * 33]
    places = [fill(workspaces, other, a=other.encode()) for other in others]
    fill(workspaces, first, a=b"1")
    shard = places[2].parent
    for twin in (first[:-1], first + "0", first + ".bak"):
        (shard / twin).mkdir()

    workspaces.remove(first)

    for other, place in zip(others, places, strict=True):
        assert (place / "files" / "a").read_bytes() == other.encode()
    assert sorted(path.name for path in shard.iterdir()) == sorted(
        [*others[2:], first[:-1], first + "0", first + ".bak"]
    )


def test_two_deployments_share_a_root_and_nothing_else(root: Path, session_id: str) -> None:
    """The same session_id in another deployment is another workspace, out of reach for cleaning too."""
    one, two = LocalWorkspaces(root), LocalWorkspaces(root)
    one.open("one")
    two.open("two")
    fill(one, session_id, a=b"1")
    fill(two, session_id, a=b"22")

    assert one.candidates(10) == two.candidates(10) == [session_id]
    assert one.remove(session_id) == Removal(files=1, bytes=1, deferred=False)
    with two.lease(session_id, UNLIMITED) as workspace:
        assert workspace.read("a") == b"22"
        assert one.remove(session_id) == NOTHING
        assert one.candidates(10) == []
        assert workspace.read("a") == b"22"


def test_t53_the_last_one_out_removes(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A deferred removal happens when the last of several leases ends, not before."""
    held = [workspaces.lease(session_id, UNLIMITED) for _ in range(3)]
    held[0].write("a", b"1")
    assert workspaces.remove(session_id) == Removal(0, 0, deferred=True)
    assert workspaces.remove(session_id) == Removal(0, 0, deferred=True)

    held[1].close()
    held[0].close()
    assert held[2].read("a") == b"1"
    held[2].write("b", b"2")
    place = held[2].path.parent
    held[2].close()

    assert not place.exists()
    assert not list(place.parent.parent.glob(".*/*"))


def test_t53_a_lease_that_ends_just_before_the_mark_is_not_missed(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the holder lets go between the first try and the mark, the remover removes."""
    workspace = workspaces.lease(session_id, UNLIMITED)
    workspace.write("a", b"1")
    real = cleanup.Cleanup._mark

    def late(self: cleanup.Cleanup, session_id: str) -> None:
        workspace.close()
        real(self, session_id)

    monkeypatch.setattr(cleanup.Cleanup, "_mark", late)

    assert workspaces.remove(session_id) == Removal(files=1, bytes=1, deferred=False)
    assert workspaces.candidates(10) == []


def test_t53_many_closing_at_once_leave_nothing(workspaces: LocalWorkspaces, sg_profile: Profile) -> None:
    """However closings and removals interleave, the directory is gone when all are done."""
    for _ in range(100 if sg_profile is DEEP else 10):
        session_id = secrets.token_hex(17)
        held = [workspaces.lease(session_id, UNLIMITED) for _ in range(4)]
        barrier = threading.Barrier(6)

        def at_once(call: Callable[[], object], barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            call()

        calls: list[Callable[[], object]] = [lease.close for lease in held]
        calls += [functools.partial(workspaces.remove, session_id)] * 2
        threads = [threading.Thread(target=at_once, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert not held[0].path.parent.exists()
        assert workspaces.candidates(10) == []


def test_t53_removal_racing_uploads_ends_and_nothing_comes_back(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Uploads in progress finish or fail cleanly, then the directory is gone, and siblings never notice."""
    sibling = session_id[:-3] + format((int(session_id[-3], 16) + 1) % 16, "x") + session_id[-2:]
    kept = fill(workspaces, sibling, keep=b"kept")
    wrong: list[BaseException] = []
    ready = threading.Barrier(5)

    def upload(number: int) -> None:
        try:
            with workspaces.lease(session_id, UNLIMITED) as workspace:
                ready.wait()
                for round_ in range(20):
                    with workspace.open(f"{number}/{round_}", "wb") as file:
                        file.write(b"x" * 1000)
                    assert workspace.read(f"{number}/{round_}") == b"x" * 1000
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    removal = workspaces.remove(session_id)
    with pytest.raises(LeaseLostError):
        workspaces.lease(session_id, UNLIMITED)
    for thread in threads:
        thread.join()

    assert wrong == []
    assert removal.deferred
    assert not (kept.parent / session_id).exists()
    assert (kept / "files" / "keep").read_bytes() == b"kept"
    assert workspaces.candidates(10) == [sibling]


def write_by_path(line: Connection, place: Path) -> None:
    """Put files into a directory as another program does, until it is gone."""
    os.chdir(place)
    line.send("started")
    number = 0
    while not line.poll():
        number += 1
        try:
            os.makedirs(f"d{number % 7}", exist_ok=True)
            Path(f"d{number % 7}/{number}").write_bytes(b"x")
        except OSError:
            continue


def test_t53_removal_ends_while_another_program_writes_without_a_lease(
    workspaces: LocalWorkspaces, session_id: str
) -> None:
    """A program that goes on writing in its working directory can delay the last byte, not the removal."""
    place = fill(workspaces, session_id, a=b"1")
    with ChildProcess(write_by_path, place / "files", start="fork") as program:
        program.hear()
        assert not workspaces.remove(session_id).deferred
        assert not place.exists()
        program.tell("stop")
        program.wait_for_end()

    workspaces.empty_trash()
    assert list((place.parent.parent / ".trash").iterdir()) == []


def use_and_remove(line: Connection, number: int, workspaces: LocalWorkspaces, session_ids: list[str]) -> None:
    """Lease, write, read back and remove sessions by chance; say what went wrong."""
    chance = random.Random(number)
    wrong = []
    line.recv()
    for round_ in range(60):
        session_id = chance.choice(session_ids)
        if chance.random() < 0.3:
            workspaces.remove(session_id)
            continue
        try:
            with workspaces.lease(session_id, Quota(10_000, 50)) as workspace:
                mine = f"{number}-{round_}"
                workspace.write(mine, mine)
                if workspace.read(mine) != mine.encode():
                    wrong.append(mine)
                if any(name.split("-")[0].isalpha() for name in workspace.list()):
                    wrong.append("foreign name")
        except LeaseLostError:
            continue
        except WorkspaceError as error:
            wrong.append(str(error))
    line.send(wrong)


@pytest.mark.processes
def test_t53_processes_that_lease_and_remove_at_will_never_lose_a_file_in_use(workspaces: LocalWorkspaces) -> None:
    """What is written under a lease can be read under it, whoever removes the session meanwhile."""
    session_ids = [secrets.token_hex(17) for _ in range(3)]
    with ExitStack() as stack:
        starts = (ChildProcess(use_and_remove, number, workspaces, session_ids, start="fork") for number in range(4))
        processes = [stack.enter_context(child) for child in starts]
        for process in processes:
            process.tell()
        assert [process.hear() for process in processes] == [[]] * 4
    for session_id in session_ids:
        workspaces.remove(session_id)

    assert workspaces.candidates(10) == []
    assert workspaces.empty_trash() == NOTHING


def die_while_removing(line: Connection, workspaces: LocalWorkspaces, session_id: str, call: str) -> None:
    """Crash at a call of the removal."""
    owner: object = cleanup if call == "delete_directory" else os
    setattr(owner, call, lambda *args, **kwargs: os._exit(9))
    workspaces.remove(session_id)


@pytest.mark.parametrize("call", ["rename", "fsync", "unlink", "delete_directory", "rmdir"])
def test_t54_a_crash_at_any_step_of_a_removal_heals(workspaces: LocalWorkspaces, session_id: str, call: str) -> None:
    """Wherever a removal dies, the next pass finds the rest, removes it once and reports its bytes."""
    place = fill(workspaces, session_id, a=b"123")
    other = secrets.token_hex(17)
    fill(workspaces, other, a=b"45")
    # So that the trash is there already, and the first fsync is the one after the rename.
    workspaces.remove(other)
    with ChildProcess(die_while_removing, workspaces, session_id, call, start="fork") as process:
        assert process.wait_for_end() == 9

    in_place = place.exists()
    assert in_place == (call == "rename")
    freed = workspaces.empty_trash()
    found = workspaces.candidates(10)
    assert (session_id in found) == in_place
    removed = workspaces.remove(session_id)

    # At the first rmdir the one file may be gone already, uncounted.
    assert freed.bytes + removed.bytes in ((0, 3) if call == "rmdir" else (3,))
    assert workspaces.candidates(10) == []
    assert list((place.parent.parent / ".trash").iterdir()) == []


def test_t54_a_crash_keeps_the_mark_of_a_deferred_removal(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A removal that dies before it moved the directory leaves its mark: nobody leases what is to be removed."""
    held = workspaces.lease(session_id, UNLIMITED)
    workspaces.remove(session_id)
    with ChildProcess(die_while_removing, workspaces, session_id, "rename", start="fork") as process:
        assert process.wait_for_end() == 0, "it is in use"
    held._lease.release()
    with ChildProcess(die_while_removing, workspaces, session_id, "rename", start="fork") as process:
        assert process.wait_for_end() == 9

    assert workspaces.candidates(1) == [session_id]
    with pytest.raises(LeaseLostError):
        workspaces.lease(session_id, UNLIMITED)
    # The refused lease was the last one out.
    assert workspaces.candidates(1) == []


def test_candidates_finish_what_a_crash_left(workspaces: LocalWorkspaces, session_id: str) -> None:
    """Looking for garbage empties the trash; a separate call reports what that freed."""
    place = fill(workspaces, session_id, a=b"123")
    trash = place.parent.parent / ".trash"
    trash.mkdir(mode=0o700)
    place.rename(trash / f"{session_id}.0011")
    shutil.copytree(trash / f"{session_id}.0011", trash / f"{session_id}.0022")

    assert workspaces.empty_trash(limit=1) == Removal(files=1, bytes=3, deferred=False)
    assert workspaces.candidates(10) == []
    assert list(trash.iterdir()) == []


def test_looking_for_leftovers_changes_nothing(workspaces: LocalWorkspaces, session_id: str) -> None:
    """It names what comes next, again and again, and finishes no removal; of another deployment it names nothing."""
    place = fill(workspaces, session_id, a=b"123")
    trash = place.parent.parent / ".trash"
    trash.mkdir(mode=0o700)
    place.rename(trash / f"{session_id}.0011")
    for _ in range(5):
        fill(workspaces, secrets.token_hex(17), a=b"1")
    for _ in range(4):
        named = workspaces.leftovers(2)
        assert workspaces.leftovers(2) == named
        assert len(list(trash.iterdir())) == 1
        assert named == workspaces.candidates(2)
        (trash / f"{session_id}.0011").mkdir(mode=0o700)
    with pytest.raises(MisuseError):
        workspaces.leftovers(2, "another")


def test_trash_that_cannot_be_deleted_hides_no_other(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails at every pass, such as an immutable folder, is in the way of what comes after it only for a while."""
    trash = fill(workspaces, session_id, a=b"123").parent.parent / ".trash"
    trash.mkdir(mode=0o700)
    for number in range(5):
        (trash / f"{'ab'[number > 2] * 34}.{number}").mkdir(mode=0o700)
    real = emptying.delete_directory

    def refusing(name: str, parent: int, freed: Freed) -> None:
        if name.startswith("a"):
            raise PermissionError(name)
        real(name, parent, freed)

    monkeypatch.setattr(cleanup, "delete_directory", refusing)
    monkeypatch.setattr(cleanup, "names_in", lambda folder: sorted(names_in(folder)))
    for _ in range(60):
        workspaces.empty_trash(limit=2)
    assert sorted(path.name[0] for path in trash.iterdir()) == ["a", "a", "a"]


def test_trash_that_somebody_is_emptying_is_left_to_him(workspaces: LocalWorkspaces, session_id: str) -> None:
    """A directory in the trash whose remover lives is not touched by another pass."""
    place = fill(workspaces, session_id, a=b"123")
    trash = place.parent.parent / ".trash"
    trash.mkdir(mode=0o700)
    place.rename(trash / "x.1")
    descriptor = os.open(trash / "x.1", os.O_RDONLY)
    assert leases.lock_exclusive(descriptor)

    assert workspaces.empty_trash() == NOTHING
    assert (trash / "x.1" / "files" / "a").exists()
    os.close(descriptor)
    assert workspaces.empty_trash() == Removal(files=1, bytes=3, deferred=False)


def test_removal_does_not_follow_links(
    workspaces: LocalWorkspaces, session_id: str, outside: Callable[[str], Path]
) -> None:
    """Links in a workspace are removed themselves; what they lead to stays."""
    victim = outside("precious")
    place = fill(workspaces, session_id, a=b"1")
    (place / "files" / "file").symlink_to(victim)
    (place / "files" / "folder").symlink_to(victim.parent)
    os.link(victim, place / "files" / "hard")

    workspaces.remove(session_id)

    assert not place.exists()
    assert victim.read_text() == "precious"


def test_candidates_visit_every_directory_in_turn(workspaces: LocalWorkspaces) -> None:
    """Small steps come round to every session and begin anew; foreign names are never proposed."""
    session_ids = {secrets.token_hex(17) for _ in range(40)}
    session_ids |= {secrets.token_hex(16) + "ab" for _ in range(10)}
    for session_id in session_ids:
        place = fill(workspaces, session_id)
    (place.parent / "notes").mkdir()
    (place.parent / ("f" * 34)).write_text("a file")

    for _ in range(2):
        seen: list[str] = []
        for _ in range(9):
            step = workspaces.candidates(7)
            assert len(step) <= 7
            seen += step
        assert set(seen) == session_ids
    assert sorted(workspaces.candidates(1000)) == sorted(session_ids)


def test_a_failing_deferred_removal_does_not_break_the_request(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the disk fails at the end of a lease the request goes on, and the next pass removes."""
    workspace = workspaces.lease(session_id, UNLIMITED)
    workspace.write("a", b"1")
    workspaces.remove(session_id)
    with monkeypatch.context() as patch:

        def fail(*args: object, **kwargs: object) -> None:
            raise OSError(5, "Input/output error")

        patch.setattr(os, "rename", fail)
        workspace.close()

    assert "Input/output error" in caplog.text
    assert workspaces.candidates(10) == [session_id]
    assert workspaces.remove(session_id) == Removal(files=1, bytes=1, deferred=False)


def test_a_tree_deeper_than_the_stack_is_removed(workspaces: LocalWorkspaces, session_id: str) -> None:
    """What another program made, however deep, is removed with few descriptors, and counted."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        here = os.open(workspace.path, os.O_RDONLY)
        for _ in range(1200):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 60, limits[1]))
    try:
        assert workspaces.remove(session_id) == Removal(files=1, bytes=0, deferred=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert workspaces.empty_trash() == NOTHING


def test_what_changes_while_it_is_deleted_does_not_stop_the_removal(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program removes files, or puts one in the place of a directory, right after they were looked at."""
    place = fill(workspaces, session_id, goes=b"1", stays=b"22", ledger=b"333")
    (place / "files" / "turns").mkdir()

    def changing(name: str, parent: int) -> os.stat_result | None:
        found = look(name, parent)
        if name == "goes":
            os.unlink(name, dir_fd=parent)
        elif name == "turns":
            os.rmdir(name, dir_fd=parent)
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=parent))
        return found

    monkeypatch.setattr(emptying, "look", changing)
    monkeypatch.setattr(emptying, "names_in", lambda directory: [*names_in(directory), "ghost"])
    removed = workspaces.remove(session_id)
    # What had the name "turns" is counted, with the size that the directory had; "goes" was not removed by us.
    assert removed.files == 3
    assert not place.exists()
    assert workspaces.empty_trash() == NOTHING
