"""T51: a process that swaps everything it can, all the time, while a workspace is used: nothing outside is touched."""

import ctypes
import hashlib
import os
import random
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sessionguard.errors import ConfigurationError, WorkspaceError
from sessionguard.testing import ChildProcess
from sessionguard.testing.profile import Profile
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, Quota

pytestmark = pytest.mark.usefixtures("way")

SECRET = b"belongs to someone else "
NAMES = ("d/secret", "d/e/secret", "secret", "d/new", "d/e/new")
# linux/mount.h and linux/fs.h
_MS_BIND, _MNT_DETACH = 4096, 2
_LIBC = ctypes.CDLL(None, use_errno=True)
LIMIT = Quota(bytes=10**6, files=100)


def swap(line: Connection, root: Path, files: Path, outside: Path, may_mount: bool) -> int:
    """Put other things in the place of what is in a workspace, until told to stop; say how often."""
    chance = random.Random(5)
    swaps: list[Callable[[Path], object]] = [
        lambda path: path.symlink_to(outside),
        lambda path: path.symlink_to(outside / "secret"),
        lambda path: path.symlink_to(f"/proc/self/root{outside}"),
        lambda path: os.link(outside / "secret", path),
        os.mkfifo,
        Path.mkdir,
        write_new,
    ]
    if may_mount:
        swaps += [
            lambda path: os.mknod(path, 0o20600, os.makedev(1, 3)),
            lambda path: bind(outside, path),
            lambda path: bind(outside / "secret", path),
        ]
    foreign = {(found.st_dev, found.st_ino) for found in (outside.stat(), (outside / "e").stat())}
    line.send("started")
    count = 0
    while not line.poll():
        path = files / chance.choice(("d", "d", "d/e", "secret", "d/secret", "d/new"))
        aside = files / f"aside{count % 3}"
        # Nobody of this user is kept from putting anything here, so whatever is lost or won is right.
        with suppress(OSError):
            if is_inside(path.parent, foreign):
                if chance.random() < 0.5 and os.path.lexists(aside):
                    exchange(aside, path)
                else:
                    path.rename(aside)
                    chance.choice(swaps)(path)
        if chance.random() < 0.2:
            if may_mount:
                unmount_below(root)
            with suppress(OSError):
                shutil.rmtree(aside) if aside.is_dir() and not aside.is_symlink() else aside.unlink()
        count += 1
    return count


def write_new(path: Path) -> None:
    """Make a file, and write to none that is there: to rename one link of a file over another leaves both."""
    with path.open("xb") as file:
        file.write(b"mine")


def is_inside(folder: Path, foreign: set[tuple[int, int]]) -> bool:
    """Whether the attacker himself would stay in the workspace; what he does outside is none of our doing."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and (found.st_dev, found.st_ino) not in foreign


def exchange(one: Path, other: Path) -> None:
    """Let two names change what they stand for, as quickly as this can be done without renameat2."""
    third = one.with_name("third")
    other.rename(third)
    one.rename(other)
    third.rename(one)


def bind(source: Path, target: Path) -> None:
    """Mount one thing over another."""
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    # Not by a program: the attacker would then mostly wait for that.
    _LIBC.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None)


def unmount_below(folder: Path) -> None:
    """Unmount whatever is mounted below a directory."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in reversed(points):
        if point.startswith(f"{folder}/"):
            _LIBC.umount2(os.fsencode(point), _MNT_DETACH)


def state_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Give every file below a directory, with a digest and its mode."""
    return {
        str(path): (hashlib.blake2b(path.read_bytes()).hexdigest() if path.is_file() else "", path.lstat().st_mode)
        for path in sorted(folder.rglob("*"))
    }


def use(workspace: LocalWorkspace, number: int, read: set[bytes]) -> int:
    """Make every kind of call once, and say how many were not refused."""
    calls: list[Callable[[], object]] = [
        *(lambda name=name: read.add(workspace.read(name)) for name in NAMES),
        *(lambda name=name: workspace.write(name, b"mine") for name in NAMES),
        *(lambda name=name: workspace.delete(name) for name in NAMES[number % 5 : number % 5 + 1]),
        workspace.list,
        workspace.usage,
    ]
    done = 0
    for call in calls:
        # Refused, or the attacker lost or won the race for a name inside.
        with suppress(WorkspaceError, OSError):
            call()
            done += 1
    return done


@pytest.mark.processes
def test_t51_an_attacker_reads_and_writes_nothing_outside(
    workspaces: LocalWorkspaces, session_id: str, tmp_path: Path, sg_profile: Profile
) -> None:
    """While links, pipes, devices and mounts are swapped in for a minute, nothing outside is read or changed."""
    outside = tmp_path / "outside"
    (outside / "e").mkdir(parents=True)
    for name in ("secret", "new", "e/secret", "e/new"):
        (outside / name).write_bytes(SECRET + name.encode())
    before, read, done, rounds = state_of(outside), set[bytes](), 0, 0
    deadline = time.monotonic() + (60.0 if sg_profile.name == "deep" else 1.0)
    with workspaces.lease(session_id, LIMIT) as workspace:
        files = workspace.path
        workspace.write("d/e/secret", b"mine")
    try:
        with ChildProcess(swap, Path(workspaces.root), files, outside, os.geteuid() == 0, start="fork") as attacker:
            assert attacker.hear() == "started"
            # On a busy machine for longer, until there was something to see.
            while time.monotonic() < deadline or done < 100:
                rounds += 1
                # Something mounted, or linked, in the place of our own directories is refused.
                with suppress(WorkspaceError, ConfigurationError), workspaces.lease(session_id, LIMIT) as workspace:
                    done += use(workspace, rounds, read)
                if rounds % 10 == 0:
                    workspaces.remove(session_id)
                    workspaces.candidates(10)
            attacker.tell("stop")
            swaps = attacker.finish()
    finally:
        unmount_below(tmp_path)

    assert read <= {b"mine", b""}
    assert state_of(outside) == before
    assert swaps > 20
    workspaces.remove(session_id)
    workspaces.empty_trash()
    assert not list(Path(workspaces.root).glob("*/.trash/*"))
