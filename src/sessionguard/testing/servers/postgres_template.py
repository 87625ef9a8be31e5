"""A fresh PostgreSQL data folder: made once per process and installation, copied for each server."""

import atexit
import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

from sessionguard.testing.servers.errors import EngineMissingError, ServerStartError
from sessionguard.testing.servers.guarding import Watcher
from sessionguard.testing.servers.installations import Installation

ADMINISTRATOR = "sg_administrator"
"""The role the kit itself uses; it never needs a password."""
USER = "postgres"
"""The role that URLs name: a superuser, too."""

_ROOTLESS_USERS = ("postgres", "nobody")
_templates: dict[tuple[Path, int], Path] = {}
_lock = threading.Lock()


def server_user() -> str | None:
    """Give the user a server runs as: None for this one; PostgreSQL refuses to run as root, so another then."""
    if os.geteuid() != 0:
        return None
    for name in _ROOTLESS_USERS:
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    raise EngineMissingError("postgresql", "it does not run as root, and there is no other user", "add a user nobody")


@cache
def reachable_folder(user: str | None) -> str:
    """Give a folder for temporary files that `user` can reach."""
    if user is None:
        return tempfile.gettempdir()
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        if _is_open_to_all(Path(folder)):
            return folder
    raise EngineMissingError("postgresql", f"the user {user} reaches no temporary folder", "set TMPDIR to one")


def copy_template(installation: Installation, target: Path, user: str | None) -> None:
    """Make `target` a data folder that a server of `installation` can start on."""
    with _lock:
        # A forked child makes its own: its parent removes the one it inherited.
        key = (installation.server, os.getpid())
        if key not in _templates:
            _templates[key] = _make(installation, user)
    run_as(user, ["cp", "-Rp", str(_templates[key]), str(target)])


def run_as(user: str | None, command: list[str], text: str = "") -> None:
    """Run a program to its end as `user`.

    Raises:
        ServerStartError: it failed; with what it said.
    """
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
    )
    if done.returncode != 0:
        raise ServerStartError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def own(path: Path, user: str | None) -> None:
    """Make `path` belong to `user`."""
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _make(installation: Installation, user: str | None) -> Path:
    if user is not None and not _is_open_to_all(installation.server.resolve()):
        reason = f"{installation.server} cannot be reached by the user {user}, and PostgreSQL does not run as root"
        raise EngineMissingError("postgresql", reason, "install it where every user can read, or run as another user")
    parent = Path(tempfile.mkdtemp(prefix="sg-template-", dir=reachable_folder(user)))
    atexit.register(_remove, parent, os.getpid(), Watcher('rm -rf "$1"', parent))
    own(parent, user)
    template = parent / "data"
    initdb = [str(installation.program("initdb")), "-D", str(template), "-U", ADMINISTRATOR, "-A", "trust"]
    run_as(user, [*initdb, "--no-sync", "-E", "UTF8", "--no-locale"])
    # PostgreSQL makes no data base of the name of a user; `postgres` is there from the start.
    single = [str(installation.server), "--single", "-F", "-D", str(template), "postgres"]
    run_as(user, single, f"CREATE ROLE {USER} SUPERUSER LOGIN\n")
    return template


def _remove(folder: Path, maker: int, watcher: Watcher) -> None:
    if os.getpid() == maker:
        watcher.close()
        shutil.rmtree(folder, ignore_errors=True)


def _is_open_to_all(path: Path) -> bool:
    """Whether every user may pass through each folder on the way to `path`."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])
