"""File names that lead out of a session's directory: fixed ones and drawn ones, and services that follow them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from sessionguard.core.tokens import Mint
from sessionguard.testing.mutants.table.rows import Effort, Finding, Make
from sessionguard.testing.mutants.table.sequential import drawing, in_one_line
from sessionguard.testing.strategies import file_names, invalid_file_names
from sessionguard.workspaces import LocalWorkspaces, Quota

_OWN, _SIBLING = "ab", "abc"
_SECRET: Final = "the secret of a sibling"
_WAYS_OUT: Final = (
    f"../{_SIBLING}/secret", f"x/../../{_SIBLING}/secret", "../new", "../../new", "link/secret", "link/new",
    f"./../{_SIBLING}/secret", f"..//{_SIBLING}/secret", "link/../secret",
)  # fmt: skip


class JoinsNames:
    """Joins the directory of the session and the name, whatever that is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / _OWN

    def path(self, name: str) -> Path:
        """Give where the file lies."""
        return Path(os.path.join(self.folder, name))

    def write(self, name: str, content: str) -> None:
        """Write a file of the session."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def read(self, name: str) -> str:
        """Give the content of a file of the session."""
        return self.path(name).read_text()


class ChecksThePrefix(JoinsNames):
    """Refuses what does not begin with the path of the session, which that of a sibling may do."""

    def path(self, name: str) -> Path:
        path = os.path.realpath(super().path(name))
        if not path.startswith(os.path.realpath(self.folder)):
            raise PermissionError(name)
        return Path(path)


class FollowsLinks(JoinsNames):
    """Refuses `..` and absolute names, and follows links."""

    def path(self, name: str) -> Path:
        if ".." in name.split("/") or name.startswith("/"):
            raise PermissionError(name)
        return super().path(name)


class StaysInside(JoinsNames):
    """Follows links and `..` first, and refuses what is not below the directory of the session then."""

    def path(self, name: str) -> Path:
        path = super().path(name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise PermissionError(name)
        return path


class OurWorkspace(JoinsNames):
    """A workspace of this library."""

    def __init__(self, folder: Path) -> None:
        self.workspaces = LocalWorkspaces(folder / "workspaces")
        self.workspaces.open("0" * 32)
        self.session_id = Mint(bytes).new("0" * 32, "ana").session_id

    def write(self, name: str, content: str) -> None:
        with self.workspaces.lease(self.session_id, Quota()) as workspace:
            workspace.write(name, content)

    def read(self, name: str) -> str:
        with self.workspaces.lease(self.session_id, Quota()) as workspace:
            return workspace.read(name).decode()


def ways_out(make: Make, folder: Path, effort: Effort) -> Finding:
    """Try every known way out of a session's directory (C)."""
    tries = 0
    for name in _names(folder):
        tries += 1
        try:
            _examine(make, folder, name)
        except AssertionError as error:
            return Finding(True, tries, in_one_line(error))
    return Finding(False, tries)


def drawn_ways_out(make: Make, folder: Path, effort: Effort) -> Finding:
    """Draw names that may lead out of a session's directory (H)."""
    tries = 0
    parts = st.sampled_from(("..", "..", ".", "", "link", "secret", _SIBLING, "new", "x"))
    joined = st.builds("".join, st.tuples(st.sampled_from(("", "", "/")), st.lists(parts, min_size=1).map("/".join)))
    hostile = joined | st.sampled_from(tuple(_names(folder))) | invalid_file_names() | file_names()

    @hypothesis.seed(effort.seed)
    @drawing(effort)
    @given(hostile)
    def stays_inside(name: str) -> None:
        nonlocal tries
        tries += 1
        _examine(make, folder, name)

    try:
        stays_inside()
    except AssertionError as error:
        return Finding(True, tries, in_one_line(error))
    return Finding(False, tries)


def _names(folder: Path) -> Iterator[str]:
    yield from _WAYS_OUT
    yield str(folder / _SIBLING / "secret")
    yield str(folder / "new")


def _examine(make: Make, folder: Path, name: str) -> None:
    """Read and write that name; raise `AssertionError` if anything but the session's own files was seen or changed."""
    _prepare(folder)
    service = make(folder)
    before = _others(folder)
    # A refusal may be any error, for what counts is what was not done.
    seen = ""
    with suppress(Exception):
        seen = service.read(name)
    with suppress(Exception):
        service.write(name, "changed")
    assert seen != _SECRET, f"reading {name!r} gave what is a sibling's"
    assert _others(folder) == before, f"writing {name!r} reached out of the session"


def _prepare(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name in (_OWN, _SIBLING):
        (folder / name).mkdir()
    (folder / _SIBLING / "secret").write_text(_SECRET)
    (folder / _OWN / "link").symlink_to(folder / _SIBLING)


def _others(folder: Path) -> dict[str, str]:
    """Give all files outside of the session, with what they hold."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    inside = (folder / _OWN, folder / "workspaces")
    return {str(path): path.read_text() for path in found if not any(path.is_relative_to(each) for each in inside)}
