"""`manage.py sessionguard ...`: list, show, end, sweep, stats, doctor and migrate, over the guard of this project."""

import sys
from argparse import REMAINDER
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessionguard.adapters.django import checks, guards
from sessionguard.adapters.findings import findings_of
from sessionguard.errors import ConfigurationError


class Command(BaseCommand):
    """Runs the commands of `sessionguard` that look after sessions, over the guard of this project."""

    help = (
        "Looks after the sessions of this project: list, show, end, sweep, stats, doctor, migrate. "
        "What each of them takes: manage.py sessionguard COMMAND --help"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take everything as it is."""
        parser.add_argument("arguments", nargs=REMAINDER, metavar="command ...", help="as of `sessionguard --help`")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run it and end with its status."""
        from sessionguard.cli import application

        try:
            place = guards.place()
            in_memory = not place.is_lent and str(guards.url_of(guards.read())).startswith("memory:")
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        if in_memory:
            raise CommandError("sessions in memory are seen by their own process only; use clearsessions or the guard")
        out, err = options.get("stdout") or sys.stdout, options.get("stderr") or sys.stderr
        with redirect_stdout(out), redirect_stderr(err):
            # Without our middleware the cookie is Django's, of which `manage.py check` tells.
            findings = tuple(findings_of(place.rules)) if checks.uses_middleware() else ()
            status = application.run(place.guard, "manage.py sessionguard", options["arguments"], findings)
        if status:
            sys.exit(status)
