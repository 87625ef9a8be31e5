"""Things in a workspace that are not plain files of its own, and swaps at the worst moment."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sessionguard.errors import ConfigurationError, PathEscapeError
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces
from sessionguard.workspaces.local import tree
from sessionguard.workspaces.local.descriptors import make_directory, make_file, open_directory, open_for_reading
from tests.workspaces.conftest import UNLIMITED

pytestmark = pytest.mark.usefixtures("way")

SECRET = "belongs to someone else"
Outside = Callable[[str], Path]


def promptly(call: Callable[[], object]) -> object:
    """Give what `call` raises or returns; fail if it waits for something."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert found, "the call does not come back"
    return found[0]


def plant_hard_link(path: Path, victim: Path) -> None:
    """A second name of a foreign file."""
    os.link(victim, path)


def plant_fifo(path: Path, victim: Path) -> None:
    """A pipe that nobody writes."""
    os.mkfifo(path)


def plant_socket(path: Path, victim: Path) -> None:
    """A socket."""
    # Bound by a short relative name: the path of a socket may have 107 bytes only.
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)
        os.close(here)


def plant_symlink(path: Path, victim: Path) -> None:
    """A link to a foreign file."""
    path.symlink_to(victim)


def plant_dangling_symlink(path: Path, victim: Path) -> None:
    """A link to a foreign file that could be made."""
    path.symlink_to(victim.with_name("missing"))


def plant_directory(path: Path, victim: Path) -> None:
    """A directory."""
    path.mkdir()


def plant_symlink_to_directory(path: Path, victim: Path) -> None:
    """A link to a foreign directory."""
    path.symlink_to(victim.parent)


def plant_device(path: Path, victim: Path) -> None:
    """The null device."""
    try:
        os.mknod(path, 0o20600, os.makedev(1, 3))
    except OSError:
        pytest.skip("only root may make a device")


def plant_file_of_another_user(path: Path, victim: Path) -> None:
    """Another user's file."""
    path.write_text(SECRET)
    try:
        os.chown(path, 12345, 12345)
    except OSError:
        pytest.skip("only root may give a file away")


PLANTS = [
    plant_hard_link,
    plant_fifo,
    plant_socket,
    plant_symlink,
    plant_dangling_symlink,
    plant_directory,
    plant_symlink_to_directory,
    plant_device,
    plant_file_of_another_user,
]


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", ["trap", "sub/trap"])
def test_t52_what_is_not_a_plain_file_is_refused_without_waiting(
    workspace: LocalWorkspace, outside: Outside, plant: Callable[[Path, Path], None], name: str
) -> None:
    """Links, pipes, sockets, devices and the like are refused at once by every call and change nothing."""
    victim = outside(SECRET)
    (workspace.path / name).parent.mkdir(exist_ok=True)
    plant(workspace.path / name, victim)
    before = os.lstat(workspace.path / name)

    for call in (
        workspace.read,
        workspace.delete,
        lambda name: workspace.write(name, b"x"),
        lambda name: workspace.open(name, "xb"),
    ):
        assert isinstance(promptly(lambda call=call: call(name)), PathEscapeError)  # type: ignore[misc]

    assert promptly(workspace.list) == []
    promptly(workspace.usage)
    assert os.lstat(workspace.path / name).st_ino == before.st_ino
    assert victim.read_text() == SECRET
    assert list(victim.parent.iterdir()) == [victim]


def test_t52_a_linked_parent_is_not_followed(workspace: LocalWorkspace, outside: Outside) -> None:
    """A symbolic link in the place of a directory leads nowhere, wherever it stands in the name."""
    victim = outside(SECRET)
    workspace.write("a/b/c", b"1")
    os.rename(workspace.path / "a", workspace.path / "moved")
    (workspace.path / "a").symlink_to(victim.parent)
    (workspace.path / "moved" / "link").symlink_to(victim.parent)
    # What is behind the link leads on, so that only the link itself is in the way.
    (victim.parent / "below").mkdir()
    (victim.parent / "below" / "secret").write_text(SECRET)

    for name in (
        f"a/{victim.name}",
        f"moved/link/{victim.name}",
        "a/b/new",
        "moved/link/new",
        "a/below/new",
        "a/below/secret",
    ):
        for call in (workspace.read, workspace.delete, lambda name: workspace.write(name, b"x")):
            with pytest.raises(PathEscapeError):
                call(name)

    assert workspace.list() == ["moved/b/c"]
    assert sorted(path.name for path in victim.parent.rglob("*")) == sorted([victim.name, "below", "secret"])
    assert {path.read_text() for path in victim.parent.rglob("*") if path.is_file()} == {SECRET}


def test_t52_a_link_to_a_place_inside_is_not_followed_either(workspace: LocalWorkspace) -> None:
    """One name leads to one place: what is linked inside is neither read nor written by the name of the link."""
    workspace.write("real/b/c", b"1")
    (workspace.path / "a").symlink_to("real")

    for call in (workspace.read, workspace.delete, lambda name: workspace.write(name, b"x")):
        with pytest.raises(PathEscapeError):
            call("a/b/c")
    assert workspace.list() == ["real/b/c"]
    assert workspace.read("real/b/c") == b"1"


def test_t52_a_file_in_the_place_of_a_directory_is_refused(workspace: LocalWorkspace) -> None:
    """A name that goes through a file is refused and the file stays."""
    workspace.write("a", b"1")

    with pytest.raises(PathEscapeError):
        workspace.write("a/b", b"2")
    with pytest.raises(PathEscapeError):
        workspace.read("a/b")

    assert workspace.read("a") == b"1"


@pytest.fixture(params=["another file system", "the same file system"])
def mounted(request: pytest.FixtureRequest, workspace: LocalWorkspace, tmp_path: Path) -> Iterator[Path]:
    """A mount point inside a workspace, where the tests may mount."""
    point = workspace.path / "mounted"
    point.mkdir()
    command = ["mount", "-t", "tmpfs", "none", str(point)]
    if request.param == "the same file system":
        (tmp_path / "elsewhere").mkdir()
        command = ["mount", "--bind", str(tmp_path / "elsewhere"), str(point)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield point
    unmount_below(workspace.path.parents[3])


def mounts_below(folder: Path) -> list[Path]:
    """Give the mount points below a directory."""
    points = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
    return [point for point in points if point.is_relative_to(folder)]


def unmount_below(folder: Path) -> None:
    """Unmount whatever is mounted below a directory."""
    for point in mounts_below(folder):
        subprocess.run(["umount", str(point)], check=True)


def test_t52_a_mount_point_is_not_entered_and_its_content_survives_removal(
    root: Path, workspaces: LocalWorkspaces, workspace: LocalWorkspace, mounted: Path
) -> None:
    """What is mounted inside a workspace is not read, not listed, not written and never deleted."""
    (mounted / "precious").write_text(SECRET)

    for call in (workspace.read, workspace.delete, lambda name: workspace.write(name, b"x")):
        with pytest.raises(PathEscapeError):
            call("mounted/precious")
    with pytest.raises(PathEscapeError):
        workspace.write("mounted/new", b"x")
    assert workspace.list() == []
    assert workspace.usage().files == 0

    workspace.close()
    assert workspaces.remove(workspace.session_id).files == 0
    workspaces.empty_trash()
    (found,) = mounts_below(root)
    assert (found / "precious").read_text() == SECRET

    unmount_below(root)
    workspaces.empty_trash()
    assert not found.exists()


def test_t52_opening_by_descriptor_follows_no_link(tmp_path: Path, outside: Outside) -> None:
    """The lowest layer alone refuses a link as the last component, for files and for directories."""
    victim = outside(SECRET)
    (tmp_path / "file").symlink_to(victim)
    (tmp_path / "directory").symlink_to(victim.parent)
    (tmp_path / "dangling").symlink_to(victim.parent / "made")
    here = open_directory(str(tmp_path))
    try:
        for call in (open_directory, make_directory):
            with pytest.raises(NotADirectoryError):
                call("directory", here)
        with pytest.raises(OSError, match="symbolic link"):
            open_for_reading("file", here)
        with pytest.raises(FileExistsError):
            make_file("dangling", here)
    finally:
        os.close(here)
    assert list(victim.parent.iterdir()) == [victim]


def test_t52_descriptors_do_not_reach_programs_that_are_started(workspace: LocalWorkspace) -> None:
    """No descriptor of a workspace is inherited through exec."""
    with workspace.open("a", "wb") as file:
        file.write(b"1")
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
        paths = {number: os.readlink(f"/proc/self/fd/{number}") for number in descriptors if _is_open(number)}
        ours = [number for number, path in paths.items() if workspace.session_id in path]

        assert len(ours) >= 4
        assert not any(os.get_inheritable(number) for number in ours)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def swapped_for_symlink(path: Path, victim: Path) -> None:
    """Put a link in the place of a file."""
    path.unlink()
    path.symlink_to(victim)


def swapped_for_hard_link(path: Path, victim: Path) -> None:
    """Put a foreign file itself in the place of a file."""
    path.unlink()
    # The foreign name goes, so that the link count alone looks innocent.
    os.link(victim, path)
    victim.unlink()


@pytest.mark.parametrize("swap", [swapped_for_symlink, swapped_for_hard_link])
def test_t52_a_swap_between_looking_and_opening_is_noticed(
    workspace: LocalWorkspace, outside: Outside, monkeypatch: pytest.MonkeyPatch, swap: Callable[[Path, Path], None]
) -> None:
    """What was looked at is what is opened, even if the name changes hands between the two."""
    victim = outside(SECRET)
    workspace.write("a", b"mine")
    real_open = open_for_reading

    def swapping(name: str, parent: int) -> int:
        monkeypatch.setattr(tree, "open_for_reading", real_open)
        swap(workspace.path / "a", victim)
        descriptor = real_open(name, parent)
        if swap is swapped_for_hard_link:
            # Gone again: were it open now it would have no name that could be looked at.
            (workspace.path / "a").unlink()
        return descriptor

    monkeypatch.setattr(tree, "open_for_reading", swapping)
    with pytest.raises((PathEscapeError, FileNotFoundError)):
        workspace.read("a")


@pytest.mark.parametrize("part", ["files", "private", ""])
def test_t52_a_link_in_the_place_of_our_own_directory_is_refused(
    workspaces: LocalWorkspaces, session_id: str, outside: Outside, part: str
) -> None:
    """A link where a directory of ours belongs stops the lease, and the removal if it is the session's own."""
    victim = outside(SECRET)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        place = workspace.path.parent / part
    os.rename(place, place.with_name("aside"))
    place.symlink_to(victim.parent)

    with pytest.raises(PathEscapeError):
        workspaces.lease(session_id, UNLIMITED)
    assert session_id in workspaces.candidates(1000) or not part
    if part:
        workspaces.remove(session_id)
    else:
        with pytest.raises(PathEscapeError):
            workspaces.remove(session_id)
    assert victim.read_text() == SECRET


def test_t52_a_link_in_the_place_of_the_ledger_is_refused(workspace: LocalWorkspace, outside: Outside) -> None:
    """The ledger is never read or written through a link."""
    victim = outside(SECRET)
    workspace.write("a", b"1")
    ledger = workspace.path.parent / "private" / "ledger"
    ledger.unlink()
    ledger.symlink_to(victim)

    with pytest.raises(PathEscapeError):
        workspace.write("b", b"2")
    assert victim.read_text() == SECRET


def root_as_link(root: Path) -> None:
    """A link to a directory of ours."""
    root.with_name("real").mkdir(mode=0o700)
    root.symlink_to(root.with_name("real"))


def root_for_group(root: Path) -> None:
    """Writable by the group."""
    root.mkdir()
    root.chmod(0o770)


def root_for_world(root: Path) -> None:
    """Writable by all, sticky."""
    root.mkdir()
    root.chmod(0o1777)


def root_as_file(root: Path) -> None:
    """A file."""
    root.write_text("")


def root_of_another_user(root: Path) -> None:
    """Another user's directory."""
    root.mkdir(mode=0o700)
    try:
        os.chown(root, 12345, 12345)
    except OSError:
        pytest.skip("only root may give a directory away")


def root_below_a_file(root: Path) -> None:
    """Cannot be made."""
    root.parent.rmdir()
    root.parent.write_text("")


@pytest.mark.parametrize(
    "prepare", [root_as_link, root_for_group, root_for_world, root_as_file, root_of_another_user, root_below_a_file]
)
def test_a_root_that_others_control_is_refused(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    """A root that someone else could have prepared is refused, naming the setting."""
    root = tmp_path / "holder" / "root"
    root.parent.mkdir()
    prepare(root)

    with pytest.raises(ConfigurationError) as caught:
        LocalWorkspaces(root).open("deployment")
    assert caught.value.setting == "workspaces"


def test_a_root_that_became_unsafe_is_refused_later_too(
    root: Path, workspaces: LocalWorkspaces, session_id: str
) -> None:
    """The root is judged at every lease, not only at the start."""
    root.chmod(0o777)

    with pytest.raises(ConfigurationError):
        workspaces.lease(session_id, UNLIMITED)
