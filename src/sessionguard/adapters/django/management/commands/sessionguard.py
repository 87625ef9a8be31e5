"""`manage.py sessionguard ...`: list, show, end, sweep, stats, doctor and migrate, on the store of this project."""

import os
import subprocess
import sys
from argparse import REMAINDER
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessionguard.adapters.django import guards
from sessionguard.adapters.settings import PREFIX
from sessionguard.errors import ConfigurationError


class Command(BaseCommand):
    """Runs the command `sessionguard` where the settings of this project say that the sessions are."""

    help = (
        "Looks after the sessions of this project: list, show, end, sweep, stats, doctor, migrate; --help tells more."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take everything as it is."""
        parser.add_argument("arguments", nargs=REMAINDER, metavar="command ...", help="as of `sessionguard --help`")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run it and end with its status."""
        try:
            settings = guards.read()
            url = guards.url_of(settings)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        if url.startswith("memory:"):
            raise CommandError("sessions in memory are seen by their own process only; use clearsessions or the guard")
        workspaces = settings.get("WORKSPACES")
        # By the environment, which other users of the machine cannot read as they can a command line.
        environment = {**os.environ, PREFIX + "URL": url}
        if isinstance(workspaces, str | os.PathLike):
            environment[PREFIX + "WORKSPACES"] = os.fspath(workspaces)
        command = [sys.executable, "-m", "sessionguard.cli", *(options["arguments"] or ["--help"])]
        status = subprocess.run(command, env=environment, check=False).returncode
        if status:
            sys.exit(status)
