"""Starts the server instances of one run, waits until they serve, and ends them: by pid, and only its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import frozen

from sessionguard.cli.demo.failure import DemoError
from sessionguard.cli.demo.settings import WORKERS_PER_INSTANCE, Settings

LOOPBACK = "127.0.0.1"
INSTANCE_NAMES = ("A", "B")
START_SECONDS = 15.0
END_SECONDS = 3.0


@frozen
class RunningInstance:
    """One started instance."""

    name: str
    address: tuple[str, int]
    process: subprocess.Popen[bytes]
    log: Path


class Servers:
    """The instances of one run; entering starts them, leaving ends them, however it is left."""

    def __init__(self, settings: Settings, check: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._check = check
        self._folder = Path(settings.folder)
        self.instances: list[RunningInstance] = []
        self.worker_pids: dict[str, tuple[int, ...]] = {}

    def __enter__(self) -> Self:
        try:
            settings_path = self._settings.store()
            for name in INSTANCE_NAMES:
                self.instances.append(self._start(name, settings_path))
            self._wait_until_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where the instances listen."""
        return tuple(instance.address for instance in self.instances)

    @property
    def description(self) -> str:
        """The instances and their workers, in words."""
        return ", ".join(f"{name} (pids {' '.join(map(str, pids))})" for name, pids in self.worker_pids.items())

    def end(self) -> None:
        """End every instance with its workers; returns when they are gone."""
        for instance in self.instances:
            instance.process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for instance in self.instances:
            with contextlib.suppress(subprocess.TimeoutExpired):
                instance.process.wait(max(0.0, deadline - time.monotonic()))
            # Each instance leads a process group of its own, so this reaches a worker that lost its master.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(instance.process.pid, signal.SIGKILL)
            instance.process.wait()

    def _start(self, name: str, settings_path: Path) -> RunningInstance:
        log = self._folder / f"instance-{name}.log"
        with _bound_socket() as listener, log.open("wb") as output:
            process = subprocess.Popen(
                # -P: a file in the caller's directory must not be taken for one of our modules.
                [sys.executable, "-P", "-m", "sessionguard.cli.demo.instance",
                 str(settings_path), name, str(listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            return RunningInstance(name, listener.getsockname(), process, log)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.worker_pids = {instance.name: self._pids_of(instance) for instance in self.instances}
            if all(len(pids) >= WORKERS_PER_INSTANCE for pids in self.worker_pids.values()):
                return
            for instance in self.instances:
                if instance.process.poll() is not None:
                    raise DemoError(f"instance {instance.name} did not start: {_last_line(instance.log)}")
            if time.monotonic() > deadline:
                raise DemoError(f"the servers did not start within {START_SECONDS:g} s")
            self._check()
            time.sleep(0.02)

    def _pids_of(self, instance: RunningInstance) -> tuple[int, ...]:
        return tuple(sorted(int(path.name.split("-")[2]) for path in self._folder.glob(f"ready-{instance.name}-*")))


def _bound_socket() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((LOOPBACK, 0))
    except OSError as error:
        listener.close()
        raise DemoError(f"no port is free on {LOOPBACK}: {error.strerror}") from error
    return listener


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
