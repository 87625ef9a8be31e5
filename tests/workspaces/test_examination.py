"""What an examination of the root says."""

from pathlib import Path

import pytest

from sessionguard.workspaces import LocalWorkspaces
from sessionguard.workspaces.contract import ExaminedWorkspaces, SettledWorkspaces
from sessionguard.workspaces.local import examination


def said(root: Path) -> list[tuple[str, str]]:
    """Give levels and subjects."""
    workspaces = LocalWorkspaces(root)
    assert isinstance(workspaces, ExaminedWorkspaces)
    return [(finding.level, finding.subject) for finding in workspaces.examine()]


def test_a_good_root_has_nothing_to_complain_about(tmp_path: Path) -> None:
    """Its owner and mode, and how names are resolved, are told; nothing in it changes."""
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    assert said(root) == [("ok", "workspaces"), ("ok", "openat2")]
    assert list(root.iterdir()) == []


def test_a_root_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """It is a warning, for at its first use it is made."""
    assert said(tmp_path / "root") == [("warning", "workspaces")]
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_others_may_write_to_is_a_problem(tmp_path: Path) -> None:
    """As it is refused when it is opened."""
    tmp_path.chmod(0o777)
    assert said(tmp_path)[0] == ("problem", "workspaces")


def test_a_root_without_the_right_to_write_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only mount is one."""
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    assert said(tmp_path)[0] == ("problem", "workspaces")


def test_a_network_file_system_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks do not hold there."""
    monkeypatch.setattr(examination, "current_file_system", lambda _: "nfs4")
    assert ("problem", "file system") in said(tmp_path)


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of room and of inodes, where there is a number of them."""

    class Full:
        f_bavail, f_blocks, f_favail, f_files = 4, 100, 0, 0

    monkeypatch.setattr("os.statvfs", lambda _: Full)
    assert [finding for finding in said(tmp_path) if finding[0] == "warning"] == [("warning", "room")]


def test_a_root_knows_for_whom_it_was_opened(tmp_path: Path) -> None:
    """So that a mistyped folder is noticed."""
    workspaces = LocalWorkspaces(tmp_path / "root")
    assert isinstance(workspaces, SettledWorkspaces)
    assert not workspaces.is_home_of("a" * 32)
    workspaces.open("a" * 32)
    assert workspaces.is_home_of("a" * 32)
    assert not workspaces.is_home_of("b" * 32)
