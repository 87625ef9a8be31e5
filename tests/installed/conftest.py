"""An environment in which nothing is installed but the built wheel with its extra `[testing]`."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from attrs import frozen
from filelock import FileLock

from tests.architecture.source_tree import REPOSITORY

LIMIT_SECONDS = 300


@frozen
class Installed:
    """A Python of its own that knows sessionguard from its wheel alone."""

    folder: Path
    wheel: Path

    def run(self, command: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a line of shell in `folder`, with the programs of this environment first, and no package index."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "PIP"))}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", command],
            cwd=folder,
            env={**kept, "PATH": path, "PIP_NO_INDEX": "1", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this repository into `folder`."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY))
    (wheel,) = folder.glob("sessionguard-*.whl")
    return wheel


def pip(*arguments: str) -> None:
    """Run pip of this Python; where it cannot reach what it needs, the test is skipped, and fails in CI."""
    command = [sys.executable, "-m", "pip", *arguments, "-qq", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    if done.returncode == 0:
        return
    if os.environ.get("CI") != "true" and "No matching distribution found" in done.stderr:
        pytest.skip(f"pip cannot reach what the extra [testing] needs: {done.stderr.strip().splitlines()[-1]}")
    raise AssertionError(done.stderr)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The environment, made once for all test processes of this run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, wheels = shared / "installed", shared / "wheels"
    with FileLock(shared / "installed.lock"):
        if not (shared / "installed.done").exists():
            wheel = build_wheel(wheels)
            venv.create(folder, clear=True, with_pip=True)
            pip("--python", str(folder / "bin" / "python"), "install", f"{wheel}[testing]")
            (shared / "installed.done").touch()
    (wheel,) = wheels.glob("sessionguard-*.whl")
    return Installed(folder, wheel)
