"""One server instance as its own process: gunicorn with two workers on a socket that was bound in advance.

Started as `python -m sessionguard.cli.demo.instance <settings file> <instance name> <descriptor of the socket>`.
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from flask import Flask, Response
from gunicorn.app.base import BaseApplication

from sessionguard.cli.demo.settings import WORKERS_PER_INSTANCE, Settings

LIFETIME_SECONDS = 90.0
"""No instance outlives this, whatever becomes of the process that started it."""


class Instance(BaseApplication):  # type: ignore[misc]
    """A gunicorn that takes its whole configuration from here: no file, environment or argument can change it."""

    def __init__(self, settings: Settings, name: str, descriptor: int) -> None:
        self._settings = settings
        self._name = name
        self._descriptor = descriptor
        super().__init__()

    def load_config(self) -> None:
        """Configure gunicorn."""
        wanted = {
            "bind": f"fd://{self._descriptor}",
            "workers": WORKERS_PER_INSTANCE,
            "worker_class": "sync",
            "timeout": 20,
            "graceful_timeout": 1,
            "worker_tmp_dir": self._settings.folder,
            "control_socket_disable": True,  # only newer ones know it; it would write outside our folder
            "post_worker_init": self._announce,
        }
        for setting, value in wanted.items():
            if setting in self.cfg.settings:
                self.cfg.set(setting, value)

    def load(self) -> Flask:
        """Build the app in the worker that serves it."""
        app = build_app(self._settings)
        served_by = f"{self._name}/{os.getpid()}"

        @app.after_request
        def name_the_worker(response: Response) -> Response:
            response.headers["X-Served-By"] = served_by
            return response

        return app

    def _announce(self, worker: Any) -> None:
        ready_file(Path(self._settings.folder), self._name, worker.pid).touch()


def build_app(settings: Settings) -> Flask:
    """Give the app that `settings` name."""
    if settings.app == "broken":
        from sessionguard.cli.demo.broken_app import build as build_broken

        return build_broken(settings)
    from sessionguard.cli.demo.guarded_app import build as build_guarded

    return build_guarded(settings, trusts_form_id=settings.app == "trusting")


def ready_file(folder: Path, instance: str, pid: int) -> Path:
    """Give the file by whose existence a worker says that it serves."""
    return folder / f"ready-{instance}-{pid}"


def end_with_parent() -> None:
    """End this process soon after its parent is gone, and in any case after its lifetime."""
    parent = os.getppid()
    deadline = time.monotonic() + LIFETIME_SECONDS

    def look(_signal: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent or time.monotonic() > deadline:
            os.kill(os.getpid(), signal.SIGTERM)

    # A timer, not a thread: gunicorn forks, and a fork does not inherit timers.
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)


def main(arguments: list[str]) -> None:
    """Serve until told to end."""
    settings_path, name, descriptor = arguments
    end_with_parent()
    Instance(Settings.load(Path(settings_path)), name, int(descriptor)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
