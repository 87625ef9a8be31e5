"""The commands over the guard of an application: `flask sessionguard`, `manage.py sessionguard`.

They are those of `sessionguard` that look after sessions, with the same arguments, output and statuses. What the
settings of the application say is no option here: where the store and the files are, the brake, the age of orphans.
"""

from collections.abc import Sequence
from typing import Final

from sessionguard.cli import doctor, end, listing, migrate, running, show, stats, sweep
from sessionguard.cli.target import Application
from sessionguard.core.findings import Finding
from sessionguard.guard import SessionGuard

LOOKING_AFTER: Final[running.Commands] = {
    "list": (listing, "list the sessions of a store"),
    "show": (show, "show one session"),
    "end": (end, "end one session, or all of an owner"),
    "sweep": (sweep, "end what has expired and remove its files"),
    "stats": (stats, "count sessions, and check that no slot holds two"),
    "doctor": (doctor, "examine a store and its surroundings"),
    "migrate": (migrate, "bring the schema of a store up to date"),
}
"""The commands of every application."""


def run(guard: SessionGuard, command: str, arguments: Sequence[str], findings: Sequence[Finding] = ()) -> int:
    """Run one command over `guard`, which stays open, and give its exit status.

    `command` is what was typed before `arguments`. `findings` are of the settings of the application; `doctor` adds
    its own.
    """
    application = Application(guard, command, tuple(findings))
    with guard._without_background():
        return running.run(LOOKING_AFTER, arguments or ["--help"], application)
