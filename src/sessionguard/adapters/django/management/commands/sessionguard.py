"""`manage.py sessionguard ...`: list, show, end, sweep, stats, doctor and migrate, over the guard of this project."""

import sys
from argparse import REMAINDER, Action, ArgumentParser, Namespace
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessionguard.adapters.django import checks, guards
from sessionguard.adapters.findings import findings_of
from sessionguard.errors import ConfigurationError


class _OfEveryCommand(BaseCommand):
    requires_system_checks = ()


class _Arguments(Action):
    """Keeps what is for our commands; what is for Django may stand there, too, as it may behind every other command."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any, option: str | None = None) -> None:
        """Have Django's own parser take what it knows."""
        # The help is of our command, and so is an option that is not written out.
        django = _OfEveryCommand().create_parser("manage.py", "sessionguard", add_help=False, allow_abbrev=False)
        if isinstance(parser, CommandParser):
            django.called_from_command_line = parser.called_from_command_line
        _, rest = django.parse_known_args(values, namespace)
        setattr(namespace, self.dest, rest)


class Command(BaseCommand):
    """Runs the commands of `sessionguard` that look after sessions, over the guard of this project."""

    help = (
        "Looks after the sessions of this project: list, show, end, sweep, stats, doctor, migrate. "
        "What each of them takes: manage.py sessionguard COMMAND --help"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take everything as it is, but for the options that every command of Django has."""
        parser.add_argument(
            "arguments", nargs=REMAINDER, action=_Arguments, metavar="command ...", help="as of `sessionguard --help`"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Run it and end with its status."""
        from sessionguard.cli import application

        try:
            place = guards.place()
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        out, err = options.get("stdout") or sys.stdout, options.get("stderr") or sys.stderr
        with redirect_stdout(out), redirect_stderr(err):
            # Without our middleware the cookie is Django's, of which `manage.py check` tells.
            findings = tuple(findings_of(place.rules)) if checks.uses_middleware() else ()
            status = application.run(place.guard, "manage.py sessionguard", options["arguments"], findings)
        if status:
            sys.exit(status)
