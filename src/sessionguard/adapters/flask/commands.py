"""`flask sessionguard ...`: looks after the sessions of an application, over the guard of that application."""

from collections.abc import Iterator

import click
from flask import current_app
from flask.cli import with_appcontext

from sessionguard.adapters.findings import findings_of
from sessionguard.adapters.flask.interface import GuardedSessionInterface, others_place
from sessionguard.adapters.visits import VisitRules, blocking_guard
from sessionguard.core.findings import Finding

_NAME = "sessionguard"
# All of it is for the parser of the commands, which has its own help.
_PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


def command_of(rules: VisitRules) -> click.Command:
    """Give the command for the application with these rules: those of `sessionguard` that look after sessions."""

    @click.command(_NAME, context_settings=_PASSED_ON, short_help="Look after the sessions of this application.")
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @click.pass_context
    @with_appcontext
    def run(context: click.Context, arguments: tuple[str, ...]) -> None:
        from sessionguard.cli import application

        findings = (*_findings(), *findings_of(rules))
        context.exit(application.run(blocking_guard(rules), f"flask {_NAME}", arguments, findings))

    return run


def _findings() -> Iterator[Finding]:
    if not isinstance(current_app.session_interface, GuardedSessionInterface):
        yield Finding("problem", "sessions", *others_place(current_app))
