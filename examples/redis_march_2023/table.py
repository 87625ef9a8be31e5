"""Find the incident of March 2023: sweep each redis-py of that month, and the installed one, and print a table.

    python examples/redis_march_2023/table.py [folder]

The old versions are installed below the folder (`build/redis_march_2023` unless given), each in one of its own, and
imported only by a child process that has it first on its path.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
OLD = ("4.5.1", "4.5.3", "4.5.4", "4.5.5")
"""The first had the defect, the next two had half a fix each, and the last has it right."""
SWEEP_SECONDS = 120
INSTALL_SECONDS = 120

Verdicts = Mapping[str, str]


class NotInstalledError(Exception):
    """A version could not be had from the package index; the message says why."""


def installed(version: str, folder: Path) -> Path:
    """Give the directory that holds this redis-py and nothing else, installed now if it is not there.

    Raises:
        NotInstalledError: the package index could not be reached, or does not have it.
    """
    target = folder / version
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as begun:
        _install(version, Path(begun) / version)
        # Renamed when it is whole: whoever is interrupted leaves nothing that looks like it.
        shutil.move(Path(begun) / version, target)
    return target


def _install(version: str, target: Path) -> None:
    pins = REPOSITORY / "requirements" / f"redis-{version}.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    options = ["--no-deps", "--retries", "1", "--timeout", "15", "--target", str(target), "-r", str(pins)]
    try:
        done = subprocess.run([*pip, *options], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"redis {version} could not be installed within {INSTALL_SECONDS} s") from error
    if done.returncode:
        raise NotInstalledError(f"redis {version} could not be installed: {done.stderr.strip()[-500:]}")


def swept(path: Path | None = None) -> tuple[str, Verdicts]:
    """Give the version and the verdicts of the redis-py in `path`, or of the installed one."""
    places = [*([str(path)] if path else []), str(REPOSITORY / "src")]
    done = subprocess.run(
        [sys.executable, str(HERE / "sweep.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=SWEEP_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the sweep failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["version"], found["verdicts"]


def table(results: Mapping[str, Verdicts]) -> str:
    """Give the verdicts as a table in Markdown, a line for each version."""
    names = list(next(iter(results.values())))
    lines = [["redis-py", *names], ["---"] * (len(names) + 1)]
    lines += [[version, *(verdicts[name] for name in names)] for version, verdicts in results.items()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "build" / HERE.name
    print(table(dict(swept(path) for path in (*(installed(version, folder) for version in OLD), None))))


if __name__ == "__main__":
    main()
