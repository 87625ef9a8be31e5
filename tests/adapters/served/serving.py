"""Real web servers on loopback: those that run an application, each with two worker processes."""

import os
import re
import secrets
import shutil
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import httpx

from sessionguard.testing.servers.errors import EngineMissingError
from sessionguard.testing.servers.installations import Installation
from sessionguard.testing.servers.ports import LOOPBACK, free_port
from sessionguard.testing.servers.running import Server

REPOSITORY = Path(__file__).parents[3]
WORKERS = 2
# More than any test has open at once, so that what waits at a gate keeps nobody else from being served.
THREADS = 16
READY_PATH = "/ready"
# Longer than a client keeps a connection that is not in use: closed by the server at the moment at which a client takes
# it up again, it would lose a request.
KEEP_ALIVE_SECONDS = 75


class WebServer(Server):
    """A server that answers HTTP. It serves when it answers `READY_PATH` with `sign`, so no other can pass for it."""

    def __init__(self, installation: Installation, sign: str) -> None:
        super().__init__(installation)
        self.sign = sign

    @property
    def url(self) -> str:
        """Where it answers; browsers take this for safe enough to send Secure cookies to."""
        return f"http://localhost:{self.port}"

    @property
    def log(self) -> str:
        """The end of what it wrote."""
        return self._log()

    def flush(self) -> None:
        """It holds nothing that a test would want gone."""

    def _prepare(self, folder: Path) -> None:
        """It brings nothing."""

    def _is_ready(self) -> bool:
        try:
            with httpx.Client(trust_env=False, verify=False, timeout=5) as client:
                return client.get(f"http://{LOOPBACK}:{self.port}{READY_PATH}").text == self.sign
        except httpx.TransportError:
            return False

    def _pick_port(self) -> int:
        return free_port()


class AppServer(WebServer):
    """Two worker processes that run one of the applications beside this module, configured by their environment."""

    def __init__(self, program: str, app: str, environment: Mapping[str, str]) -> None:
        super().__init__(python_program(program), secrets.token_hex(8))
        self._app = app
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(REPOSITORY)]))
        self._environment = {**environment, "PYTHONPATH": path, "SERVED_SIGN": self.sign}

    def _command(self, folder: Path) -> list[str]:
        settings = [f"{name}={value}" for name, value in self._environment.items()]
        return ["/usr/bin/env", *settings, sys.executable, "-m", *self._arguments()]

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Give what Python is told to run."""


class Gunicorn(AppServer):
    """Gunicorn with threads."""

    def __init__(self, app: str, environment: Mapping[str, str]) -> None:
        super().__init__("gunicorn", app, environment)

    def _arguments(self) -> list[str]:
        return [
            "gunicorn", f"--bind={LOOPBACK}:{self.port}", f"--workers={WORKERS}", f"--threads={THREADS}",
            f"--keep-alive={KEEP_ALIVE_SECONDS}", "--timeout=120", "--no-control-socket", self._app,
        ]  # fmt: skip

    def _log(self) -> str:
        return super()._log().replace("Connection in use", "address already in use")


class Uvicorn(AppServer):
    """Uvicorn; `app` names a function that gives the application."""

    def __init__(self, app: str, environment: Mapping[str, str]) -> None:
        super().__init__("uvicorn", app, environment)

    def _arguments(self) -> list[str]:
        return [
            "uvicorn", "--host", LOOPBACK, "--port", str(self.port), "--workers", str(WORKERS),
            f"--timeout-keep-alive={KEEP_ALIVE_SECONDS}", "--no-access-log", "--factory", self._app,
        ]  # fmt: skip


def python_program(name: str) -> Installation:
    """Give the server `name` of this Python."""
    return Installation(name, (0,), Path(sys.executable), "wheel")


def system_program(name: str, package: str, version_flag: str) -> Installation:
    """Give the program `name` of this system.

    Raises:
        EngineMissingError: there is none.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise EngineMissingError(name, "it is not installed", f"apt-get install {package}")
    return Installation(name, _version_of(found, version_flag), Path(found), "system")


@cache
def _version_of(program: str, flag: str) -> tuple[int, ...]:
    told = subprocess.run([program, flag], capture_output=True, text=True, timeout=20, check=True)
    numbers = re.search(r"\d+(?:\.\d+)+", told.stdout + told.stderr)
    return tuple(map(int, numbers[0].split("."))) if numbers else (0,)
