"""The life of one server process: started when it serves, killed, frozen, restarted on its data, and cleaned away."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from sessionguard.testing.servers import faked_time
from sessionguard.testing.servers.errors import ServerStartError
from sessionguard.testing.servers.guarding import Watcher
from sessionguard.testing.servers.installations import Installation
from sessionguard.testing.servers.trees import children_of, is_gone, is_halted

START_SECONDS = 30.0
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.01
# The children of a killed server may need a moment to end and leave the folder alone.
_END_SERVER = 'kill -s KILL -- "-$1"; sleep 1; rm -rf "$2"'
_LOG_LINES = 25
_PORT_ATTEMPTS = 5


class Server(ABC):
    """One server on loopback with a private folder; entering starts it, leaving ends it and removes the folder."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, installation: Installation, *, user: str | None = None, place: Path | None = None) -> None:
        self.installation = installation
        self.version = installation.version
        """The version of the server, as numbers."""
        self.port = self._pick_port()
        self.folder: Path | None = None
        self._user = user
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: Watcher | None = None
        self._has_served = False
        self._maker = os.getpid()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.is_running else "down"
        return f"<{type(self).__name__} {self.installation}, port {self.port}, {state}>"

    @property
    @abstractmethod
    def url(self) -> str:
        """The store URL of this server; it stays the same over restarts."""

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    # The verbs

    def start(self) -> None:
        """The server serves, on the data that it had; a running one is left alone.

        Raises:
            ServerStartError: it ended, or did not serve in time; with the end of its log.
        """
        if self.is_running:
            return
        self._forget()
        for attempt in range(_PORT_ATTEMPTS):
            if self.folder is None:
                self.folder = self._make_folder()
            try:
                self._start_once()
            except ServerStartError:
                # Someone took the port since it was picked. Once served, a port is part of the URL and stays.
                if self._has_served or attempt == _PORT_ATTEMPTS - 1 or "address already in use" not in self._log():
                    raise
                self._remove_folder()
                self.port = self._pick_port()
            else:
                self._has_served = True
                return

    def stop(self) -> None:
        """The server has ended as its operators end it: it wrote what it had to write."""
        process = self._process
        if process is None:
            return
        self.thaw()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget()

    def kill(self) -> None:
        """The server and its processes were killed with SIGKILL, at once, and are gone."""
        process = self._process
        if process is None:
            return
        pids = self._halted_pids()
        for pid in pids:
            _send(pid, signal.SIGKILL)
        process.wait()
        _wait_until(lambda: all(is_gone(pid) for pid in pids))
        self._forget()

    def freeze(self) -> None:
        """The server stands still: connections stay open, new ones are accepted by the system, nothing answers."""
        self._halted_pids()

    def thaw(self) -> None:
        """A frozen server goes on."""
        if self.is_running:
            for pid in [*children_of(self.pid), self.pid]:
                _send(pid, signal.SIGCONT)

    def restart(self) -> None:
        """The server was stopped cleanly and serves again on the same port and data."""
        self.stop()
        self.start()

    @abstractmethod
    def flush(self) -> None:
        """Everything that was stored in the running server is gone."""

    def close(self) -> None:
        """The server is gone, its folder too. In a fork of the process that made it this does nothing."""
        if os.getpid() == self._maker:
            self.kill()
            self._remove_folder()

    # What an engine says

    @abstractmethod
    def _prepare(self, folder: Path) -> None:
        """Put what the server needs into its fresh folder."""

    @abstractmethod
    def _command(self, folder: Path) -> list[str]:
        """The command line."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server answers; may raise OSError instead of saying no."""

    @abstractmethod
    def _pick_port(self) -> int:
        """Give a port that is free now."""

    # Details

    def _start_once(self) -> None:
        assert self.folder is not None
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(self.folder),
                cwd=self.folder,
                env=os.environ | faked_time.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # An interrupt from the keyboard is for the test run, which then ends its servers in order.
                start_new_session=True,
                user=self._user,
                group=None if self._user is None else _group_of(self._user),
                extra_groups=None if self._user is None else [],
            )
        self._watcher = Watcher(_END_SERVER, self._process.pid, self.folder)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise self._start_error(f"it did not serve within {START_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise self._start_error(f"it ended with exit code {self._process.returncode}")
        try:
            return self._is_ready()
        except OSError:
            return False

    def _start_error(self, reason: str) -> ServerStartError:
        log = self._log()
        self.kill()
        return ServerStartError(f"{self.installation} on port {self.port}: {reason}; the end of its log:\n{log}")

    def _log(self) -> str:
        if self.folder is None:
            return ""
        lines = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:]).replace("Address already in use", "address already in use")

    def _halted_pids(self) -> list[int]:
        """Stop the server and its children where they stand; the parent first, so that it makes no new ones."""
        if not self.is_running:
            return []
        _send(self.pid, signal.SIGSTOP)
        # A signal takes a moment: a child that it starts meanwhile would outlive it, and hold the data of the next one.
        _wait_until(lambda: is_halted(self.pid))
        children = children_of(self.pid)
        for pid in children:
            _send(pid, signal.SIGSTOP)
        return [self.pid, *children]

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
        self._process = None
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = None

    def _make_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="sg-server-", dir=self._place or self._default_place()))
        self.folder = folder
        self._prepare(folder)
        return folder

    def _default_place(self) -> str | None:
        """Give the folder in which the private folder is made: None for the one for temporary files."""
        return None

    def _remove_folder(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = None


def _wait_until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, for as long as a server may take to stop."""
    deadline = time.monotonic() + STOP_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
