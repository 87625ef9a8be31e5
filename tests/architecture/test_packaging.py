"""The package that is built is the package that lies here."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source_tree import REPOSITORY, SOURCE_ROOT

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = sorted((REPOSITORY / "requirements").glob("*.txt"))


def distribution(requirement: str) -> str:
    """Give the normalised name at the beginning of a requirement."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def pins(path: Path) -> dict[str, str]:
    """Give what a requirements file pins, the files it includes too."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= pins(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            name, _, version = line.partition("==")
            found[distribution(name)] = version.partition(";")[0]
    return found


def test_core_depends_on_four_packages() -> None:
    """Installing the core brings attrs, filelock, portalocker and typing-extensions, no more."""
    assert [distribution(line) for line in PROJECT["dependencies"]] == [
        "attrs", "filelock", "portalocker", "typing-extensions",
    ]  # fmt: skip


def test_promised_extras_exist() -> None:
    """Every store, framework and tool that needs a package has an extra of its own."""
    promised = {"redis", "postgres", "s3", "flask", "fastapi", "django", "prometheus", "cli", "testing", "demo"}
    assert promised == set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_and_name_no_address(path: Path) -> None:
    """A requirements file holds exact versions, and no address, option or hash."""
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins(path).values())
    assert re.search(r"://|^\s*--|@", path.read_text(encoding="utf-8"), re.MULTILINE) is None


def test_pins_cover_what_the_targets_install() -> None:
    """What the core, the demo and the test kit need is pinned, so that two set-ups are the same."""
    extras = PROJECT["optional-dependencies"]
    demo = {distribution(line) for line in PROJECT["dependencies"] + extras["demo"]}
    assert demo <= pins(REPOSITORY / "requirements" / "demo.txt").keys()
    assert {distribution(line) for line in extras["testing"]} <= pins(REPOSITORY / "requirements" / "dev.txt").keys()


@pytest.mark.parametrize("group", ["sessionguard.stores", "pytest11", "console_scripts"])
def test_entry_points_resolve(group: str) -> None:
    """Every entry point of the package names something that exists."""
    ours = [point for point in entry_points(group=group) if point.value.startswith("sessionguard.")]
    assert ours
    for point in ours:
        point.load()


def test_changelog_has_the_version() -> None:
    """The version of the package is a heading of the changelog."""
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['version']}]" in changelog


def test_wheel_ships_every_file(tmp_path: Path) -> None:
    """The wheel holds every file of the source tree, statements and type marker included, and no other code."""
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if not name.startswith("sessionguard-")}
    files = (path for path in SOURCE_ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert shipped == {path.relative_to(SOURCE_ROOT).as_posix() for path in files}
    assert "sessionguard/py.typed" in shipped
