"""Plays both runs of the demonstration from start to end, in a directory of its own that it removes."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from sessionguard.cli.demo.balancer import RoundRobin
from sessionguard.cli.demo.findings import Run, Verdict, judge
from sessionguard.cli.demo.scenes import SCENES, Check, Progress, play
from sessionguard.cli.demo.servers import Servers
from sessionguard.cli.demo.settings import AppName, Settings

APPS: dict[str | None, tuple[AppName, AppName]] = {
    # the planted mistake, if any: the app of the broken run, the app of the guarded run
    None: ("broken", "guarded"),
    "trust-form-id": ("broken", "trusting"),
    "no-bleed": ("guarded", "guarded"),
}


@frozen
class Performance:
    """Both runs, the verdict over them and how long it all took."""

    broken: Run
    guarded: Run
    verdict: Verdict
    plant: str | None
    """The planted mistake that the runs were played with, if any."""
    seconds: float
    folder: Path | None
    """Where the files of the runs are, if they were kept."""


def perform(*, rounds: int, plant: str | None, keep: bool, progress: Progress, check: Check) -> Performance:
    """Play both runs and judge them; nothing that was started is left running.

    `check` is called between steps, and ends it all by raising.

    Raises:
        DemoError: the demonstration could not run here.
    """
    started = time.monotonic()
    broken_app, guarded_app = APPS[plant]
    with _folder(keep=keep) as folder:
        broken = _run("broken", broken_app, folder / "broken", rounds, progress, check)
        guarded = _run("guarded", guarded_app, folder / "guarded", rounds, progress, check)
    seconds = time.monotonic() - started
    return Performance(broken, guarded, judge(broken, guarded), plant, seconds, folder if keep else None)


def _run(role: str, app: AppName, folder: Path, rounds: int, progress: Progress, check: Check) -> Run:
    folder.mkdir(mode=0o700)
    progress(f"{role} app: starting 2 instances x 2 workers")
    with Servers(Settings.new(app, folder), check) as servers, RoundRobin(servers.addresses) as balancer:
        progress(f"{role} app: {servers.description} behind a round-robin on {balancer.url}")
        phases = tuple(play(scene, balancer.url, rounds, progress, check) for scene in SCENES)
    return Run(role, phases)


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sessionguard-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
