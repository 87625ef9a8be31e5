"""Where the folder is: who may use it, which file systems are refused, what is not taken for a store."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import ConfigurationError, StoreDataError
from sessionguard.stores.file import FileStore, folder
from sessionguard.testing.contracts.stage import Stage


@pytest.mark.parametrize(
    "file_system",
    ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.mergerfs", "fuse", "fuseblk", "ceph", "9p", "virtiofs"],
)
def test_t63_a_file_system_without_trustworthy_locks_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, file_system: str
) -> None:
    """It raises at first use, names the danger and the ways out, and nothing was made there."""
    store = FileStore(path)
    with monkeypatch.context() as there:
        there.setattr(folder, "current_file_system", lambda path: file_system)
        with pytest.raises(ConfigurationError, match=rf"\({file_system}\).*local disk.*postgresql://"):
            store.identify(c.Identify())
    assert not path.exists()
    assert store.identify(c.Identify())
    store.close()


@pytest.mark.parametrize("file_system", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", ""])
def test_local_file_systems_are_taken(path: Path, monkeypatch: pytest.MonkeyPatch, file_system: str) -> None:
    """Disks of this machine are fine, and so is a system that does not tell."""
    monkeypatch.setattr(folder, "current_file_system", lambda path: file_system)
    assert FileStore(path).identify(c.Identify())


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What the process takes away from the modes of new files."""
    former = os.umask(request.param)
    yield request.param
    os.umask(former)


@pytest.mark.usefixtures("umask")
def test_t55_whatever_is_made_is_private(tmp_path: Path) -> None:
    """Every new folder is 0700 and every file 0600, whatever the umask allows."""
    store = FileStore(tmp_path / "a" / "b" / "sessions")
    stage = Stage(store.identify(c.Identify()))
    opened = store.get_or_create(stage.get_or_create()).record
    store.acquire_lock(stage.acquire(opened, "one"))
    store.end_owner(stage.end_owner("ana"))
    made = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    modes = {
        (stat.S_ISDIR(s.st_mode), stat.S_IMODE(s.st_mode)) for s in map(os.lstat, made) if not stat.S_ISLNK(s.st_mode)
    }
    assert modes == {(True, 0o700), (False, 0o600)}
    store.close()


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(path: Path, mode: int) -> None:
    """Whoever may write there could put other sessions in place."""
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        FileStore(path).identify(c.Identify())
    assert os.listdir(path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(path: Path) -> None:
    """It is not ours to trust."""
    path.mkdir()
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigurationError, match="another user"):
        FileStore(path).identify(c.Identify())


def test_a_folder_that_holds_something_else_is_refused(path: Path) -> None:
    """A folder with other files in it is left alone."""
    path.mkdir()
    (path / "thesis.tex").write_text("all of it")
    with pytest.raises(ConfigurationError, match="holds other files"):
        FileStore(path).identify(c.Identify())
    assert os.listdir(path) == ["thesis.tex"]


@pytest.mark.parametrize("what", ["file", "link", "below a file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, what: str) -> None:
    """A file, a symbolic link, or a path that leads through a file raises and says why."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    path = {"file": tmp_path / "file", "link": tmp_path / "link", "below a file": tmp_path / "file" / "x"}[what]
    with pytest.raises(ConfigurationError, match="name"):
        FileStore(path).identify(c.Identify())
    assert os.listdir(tmp_path / "real") == []


def test_nothing_is_made_before_first_use(tmp_path: Path) -> None:
    """Opening a store touches no file; closing one that was never used neither."""
    FileStore(tmp_path / "a" / "sessions").close()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "text, problem",
    [
        (json.dumps({"kind": "sessionguard sessions", "format": 2, "deployment_id": "a" * 32}), "format 2.*knows 1"),
        (json.dumps({"kind": "something else", "format": 1}), "another program"),
        (json.dumps([]), "another program"),
        ("{", "another program"),
        ("", "another program"),
    ],
)
def test_t71_a_newer_or_unknown_format_is_refused(path: Path, text: str, problem: str) -> None:
    """A folder of a newer release, or whose mark is not ours, is neither read nor written."""
    path.mkdir(mode=0o700)
    (path / "format.json").write_text(text)
    store = FileStore(path)
    stage = Stage("0" * 32)
    for command in (c.Identify(), stage.create(), stage.load(b"\0unknown"), stage.page()):
        with pytest.raises(StoreDataError, match=problem):
            command.apply(store)
    assert os.listdir(path) == ["format.json"]


def test_threads_and_stores_may_meet_at_first_use(path: Path) -> None:
    """Stores whose first calls come one after another, whoever made the folder, see one deployment."""
    assert len({FileStore(path).identify(c.Identify()) for _ in range(3)}) == 1


def test_what_a_dead_first_user_left_is_no_other_file(path: Path) -> None:
    """A process that died as it made the folder leaves one that the next can go on with."""
    path.mkdir(mode=0o700)
    (path / "temporary").write_text('{"kin')
    assert FileStore(path).identify(c.Identify())
