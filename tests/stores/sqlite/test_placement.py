"""Where the file is: who may read it, which file systems are refused."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import ConfigurationError
from sessionguard.stores.sqlite import SQLiteStore, placement
from sessionguard.testing.contracts.stage import Stage

MOUNTS = r"""21 28 0:20 / /proc rw,nosuid shared:12 - proc proc rw
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 28 0:44 / /srv rw,relatime shared:2 - nfs4 files:/export rw,vers=4.2
41 40 254:3 / /srv/local rw,relatime shared:3 - xfs /dev/vdb rw
42 28 0:45 / /mnt/two\040words rw shared:4 - cifs //files/share rw
43 28 0:46 / /over rw - overlay overlay rw,lowerdir=/a
44 28 0:47 / /over rw - fuse.sshfs host:/ rw
half a line
"""


@pytest.mark.parametrize(
    "path, file_system",
    [
        ("/var/s.db", "ext4"),
        ("/srv/s.db", "nfs4"),
        ("/srv/deep/er/s.db", "nfs4"),
        ("/srv/local/s.db", "xfs"),
        ("/srvlocal/s.db", "ext4"),
        ("/mnt/two words/s.db", "cifs"),
        ("/over/s.db", "fuse.sshfs"),
    ],
)
def test_the_innermost_and_latest_mount_holds_a_path(path: str, file_system: str) -> None:
    """The file system is that of the longest mount point above the path, the later one of two."""
    assert placement.file_system_of(path, MOUNTS) == file_system


def test_an_unknown_mount_table_refuses_nothing() -> None:
    """Where the system does not tell, the file system is unknown and no network one."""
    assert placement.file_system_of("/var/s.db", "") == ""
    assert not placement.is_network("")


@pytest.mark.parametrize("file_system", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "lustre"])
def test_a_network_file_system_is_refused_at_first_use(
    path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch, file_system: str
) -> None:
    """A database on a network file system raises, names the danger and two ways out, and recovers when moved."""
    mounts = f"28 1 0:44 / {path.parent} rw - {file_system} files:/export rw"
    with monkeypatch.context() as there:
        there.setattr(placement, "current_file_system", lambda path: placement.file_system_of(path, mounts))
        store = SQLiteStore(path)
        with pytest.raises(ConfigurationError, match=rf"\({file_system}\).*local disk.*postgresql://"):
            store.create(stage.create())
    assert store.create(stage.create()).record.owner == "ana"
    store.close()


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What the process takes away from the modes of new files."""
    former = os.umask(request.param)
    yield request.param
    os.umask(former)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_whatever_is_made_is_private(tmp_path: Path, stage: Stage, journal_mode: str) -> None:
    """Every new folder is 0700 and every file, logs included, 0600, whatever the umask allows."""
    store = SQLiteStore(tmp_path / "a" / "b" / "c" / "s.db", journal_mode=journal_mode)
    store.create(stage.create())
    made = list((tmp_path / "a").rglob("*"))
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in [tmp_path / "a", *made]}
    files = {"s.db": 0o600, "s.db-wal": 0o600, "s.db-shm": 0o600} if journal_mode == "wal" else {"s.db": 0o600}
    assert modes == {"a": 0o700, "b": 0o700, "c": 0o700, **files}
    store.close()


def test_new_folder_is_told(tmp_path: Path, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Its path may be mistyped; a new database in a folder that is there is what every first start makes."""
    for path in (tmp_path / "s.db", tmp_path / "a" / "b" / "s.db"):
        for _ in range(2):
            store = SQLiteStore(path)
            store.create(stage.create())
            store.close()
    told = [record.getMessage() for record in caplog.records if "was made" in record.getMessage()]
    assert told == [f"{tmp_path}/a was not there and was made, for a new database without sessions: {path}"]


def test_folders_that_exist_keep_their_mode(tmp_path: Path, stage: Stage) -> None:
    """The library changes the mode of nothing that it did not make."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    shared.chmod(0o755)
    store = SQLiteStore(shared / "s.db")
    store.create(stage.create())
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    store.close()


def test_nothing_is_made_before_first_use(tmp_path: Path) -> None:
    """Opening a store touches no file; closing one that was never used neither."""
    SQLiteStore(tmp_path / "a" / "s.db").close()
    assert os.listdir(tmp_path) == []


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    """A path that leads through a file raises and says that it cannot be created."""
    (tmp_path / "file").touch()
    store = SQLiteStore(tmp_path / "file" / "s.db")
    with pytest.raises(ConfigurationError, match="cannot be created"):
        store.identify(c.Identify())
