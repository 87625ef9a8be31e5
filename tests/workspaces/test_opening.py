"""From the setting `workspaces` to a place: a mistyped URL is no folder, and what cannot be a place is told why."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from sessionguard.errors import ConfigurationError
from sessionguard.workspaces import LocalWorkspaces
from sessionguard.workspaces.opening import open_workspaces

SLIPS = ["s3:/files/x", "s3:files/x", "S3:/files", "s3//files/x", "file:x", "gs:/files", "s3:", "a+b//x"]


@pytest.mark.parametrize("place", [*SLIPS, *(f"{slip}?endpoint=http://127.0.0.1:9" for slip in SLIPS[:4])])
def test_a_mistyped_url_is_no_folder(place: str) -> None:
    """Files of all machines would lie on one of them, and nobody would know."""
    with pytest.raises(ConfigurationError, match="mistyped URL; write ") as refused:
        open_workspaces(place)
    assert refused.value.setting == "workspaces"
    assert place.partition("?")[0] in refused.value.value
    assert "127.0.0.1" not in str(refused.value)


def test_what_to_write_is_something_there_is() -> None:
    """Of a scheme that nobody registered no URL is proposed."""
    for place, right in (("S3:/a", "s3://bucket/prefix, or ./S3:/..."), ("a//b", "s3://bucket/prefix, or ./a//...")):
        with pytest.raises(ConfigurationError) as refused:
            open_workspaces(place)
        assert f"write {right} for a folder of that name" in refused.value.remedy
    with pytest.raises(ConfigurationError, match="write the path alone, or"):
        open_workspaces("file:/srv/files")


def test_a_mistyped_url_keeps_its_password() -> None:
    """What stands before the last @ is not shown."""
    with pytest.raises(ConfigurationError) as refused:
        open_workspaces("s3:key:hi?hidden@files/x?y")
    assert refused.value.value == "'***@files/x?***'"


def test_a_url_made_a_path_is_no_folder() -> None:
    """`Path` drops a slash, and the dot that says that a folder is meant."""
    with pytest.raises(ConfigurationError, match="its absolute path"):
        open_workspaces(Path("s3://files/x"))


def test_a_folder_may_have_such_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named so that nobody can take it for a URL."""
    monkeypatch.chdir(tmp_path)
    for place in ("./s3:", "./s3//x", str(tmp_path / "s3:"), "../s3:", "~x", "a b:c", "uploads/a:b", "9:x"):
        opened = open_workspaces(place)
        assert isinstance(opened, LocalWorkspaces)
        assert opened.root == os.path.abspath(place)


class Mine:
    """A place that somebody began to write."""

    def open(self, deployment_id: str) -> None:
        """Do nothing."""

    def remove(self, session_id: str) -> None:
        """Do nothing."""


class Whole(Mine):
    """One that has every call."""

    lease = quarantine = candidates = Mine.remove


@pytest.mark.parametrize(
    "place, says",
    [
        (Mine(), "Mine lacks lease, quarantine, candidates of sessionguard.workspaces.Workspaces"),
        (Whole, "give the path of a folder"),
        (5, "give the path of a folder"),
        (b"files", "give the path of a folder"),
        ("", "give the path of a folder"),
    ],
    ids=["half a place", "a class", "a number", "bytes", "nothing"],
)
def test_what_is_no_place_is_told_why(place: Any, says: str) -> None:
    """Half a place is told what it lacks; a class has nobody to answer."""
    with pytest.raises(ConfigurationError, match=says) as refused:
        open_workspaces(place)
    assert refused.value.setting == "workspaces"
    whole: Any = Whole()
    assert open_workspaces(whole) is whole


def test_a_folder_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read-only, as a volume may be mounted: the error names the setting, the folder and the remedy."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "6f72")

    place = LocalWorkspaces(tmp_path)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(ConfigurationError) as refused:
        place.open("deployment")
    assert str(refused.value) == (
        f"workspaces = {str(tmp_path)!r}: nothing can be made in it (Read-only file system); "
        "name one that this process may write to, or give it the right to"
    )
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="nothing can be made in it"):
        LocalWorkspaces("/proc").open("deployment")
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(ConfigurationError, match=r"cannot be made .* name one that this process may write to"):
        LocalWorkspaces(tmp_path / "new").open("deployment")
